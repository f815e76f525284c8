package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// register lists the whole API.
func (a *Admin) register(api huma.API) {
	huma.Register(api, get("status", "/v1/status", "How the gateway is doing"), a.getStatus)
	huma.Register(api, get("routes", "/v1/routes", "The routes in order of precedence, with the reason for each place", http.StatusServiceUnavailable), a.getRoutes)
	huma.Register(api, get("upstreams", "/v1/upstreams", "All upstreams with their endpoints"), a.getUpstreams)
	huma.Register(api, get("upstream", "/v1/upstreams/{name}", "One upstream", http.StatusNotFound), a.getUpstream)
	huma.Register(api, post("set-breaker", "/v1/upstreams/{name}/breaker", "Hold a breaker open or closed, or let it decide again",
		http.StatusNotFound, http.StatusConflict), a.setBreaker)
	huma.Register(api, get("certificates", "/v1/certificates", "All certificates: when they expire, and what needs attention"), a.getCertificates)
	huma.Register(api, get("credentials", "/v1/credentials", "The credentials of consumers: whose, until when, when last used"), a.getCredentials)
	huma.Register(api, get("bans", "/v1/bans", "The addresses and networks that are refused for a time", http.StatusUnprocessableEntity), a.getBans)
	huma.Register(api, get("why-banned", "/v1/bans/why", "What is known of an address: its bans, what counts against it, and what keeps it from being banned",
		http.StatusConflict, http.StatusUnprocessableEntity), a.getBanReasons)
	huma.Register(api, post("add-ban", "/v1/bans", "Ban an address or a network", http.StatusConflict, http.StatusUnprocessableEntity), a.addBan)
	huma.Register(api, post("remove-ban", "/v1/bans/remove", "End a ban, and forget it with all that counts against the network",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity), a.removeBan)
	huma.Register(api, get("cache", "/v1/cache", "What is stored of answers, and what came of requests for it"), a.getCache)
	huma.Register(api, post("purge-cache", "/v1/cache/purge", "Remove stored answers, or make them stale", http.StatusConflict, http.StatusUnprocessableEntity), a.purgeCache)
	huma.Register(api, post("explain-cache", "/v1/cache/explain", "Say rule by rule what the cache would do with a request",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable), a.explainCache)
	huma.Register(api, get("box", "/v1/box", "The machine below: what it is, what it did in the last minute, what the gateway had to carry on it", http.StatusServiceUnavailable), a.getBox)
	huma.Register(api, get("config", "/v1/config", "The configuration in force, as JSON: defaults written out, secrets replaced by ***", http.StatusServiceUnavailable), a.getConfig)
	huma.Register(api, text(get("config-yaml", "/v1/config.yaml", "The same, as YAML", http.StatusServiceUnavailable), "application/yaml"), a.getConfigYAML)
	huma.Register(api, problems(api, post("reload", "/v1/reload", "Read the configuration again and put it in force"),
		http.StatusUnprocessableEntity, http.StatusInternalServerError), a.postReload)
}

// maxBody is how many bytes the body of a request may have.
const maxBody = 1 << 20

func get(id, path, summary string, errors ...int) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Errors: append(errors, http.StatusUnauthorized)}
}

func post(id, path, summary string, errors ...int) huma.Operation {
	o := get(id, path, summary, errors...)
	o.Method, o.MaxBodyBytes = http.MethodPost, maxBody
	return o
}

// problems is an operation that answers these statuses with the mistakes of a configuration.
func problems(api huma.API, o huma.Operation, statuses ...int) huma.Operation {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	o.Responses = map[string]*huma.Response{}
	for _, status := range statuses {
		o.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
	}
	return o
}

// text is an operation that answers with text of a type.
func text(o huma.Operation, contentType string) huma.Operation {
	o.Responses = map[string]*huma.Response{"200": {Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string"}}}}}
	return o
}

// build makes the handler and its OpenAPI document.
func (a *Admin) build() (http.Handler, []byte) {
	c := huma.DefaultConfig("Straum admin API", "1")
	c.Info.Description = "How a running gateway is doing, and the few orders it obeys. Times are in seconds, sizes in bytes."
	// The pages huma would serve load scripts from elsewhere, its /openapi.json is made on demand without a lock, and a $schema
	// in every answer helps nobody here.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.AllowAdditionalPropertiesByDefault = true // of answers: fields come new
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "admin.token; on the loopback address only, the unix socket asks for none"},
	}
	c.Security = []map[string][]string{{"token": {}}, {}}

	mux := http.NewServeMux()
	api := humago.New(mux, c)
	a.register(api)
	document, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic("BUG: the OpenAPI document cannot be written: " + err.Error())
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document, "", "  "); err != nil {
		panic("BUG: the OpenAPI document is no JSON: " + err.Error())
	}
	indented.WriteByte('\n')
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(a.openapi)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { elsewhere(w, r, mux, api.OpenAPI()) })
	return mux, indented.Bytes()
}

// elsewhere answers what no endpoint takes: another method of one that is there, or nothing at all.
func elsewhere(w http.ResponseWriter, r *http.Request, mux *http.ServeMux, api *huma.OpenAPI) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		refuse(w, http.StatusMethodNotAllowed, "found "+r.Method+"; allowed here: "+strings.Join(allow, ", "))
		return
	}
	paths := []string{"/openapi.json"}
	for path := range api.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	refuse(w, http.StatusNotFound, "nothing is at this path; there are "+strings.Join(paths, ", "))
}
