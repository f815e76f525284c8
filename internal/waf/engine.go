//go:build waf

package waf

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	crs "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// Built says whether this program has the engine.
const Built = true

// Engine judges requests, many at a time. It is immutable.
type Engine struct {
	waf   coraza.WAF
	rules map[int]Rule // those that count as met, by id
}

// New makes an engine, which takes some tenths of a second. The rule set is part of the program; no file is read.
func New(s Settings) (*Engine, error) {
	own, err := splitRules(s.RulesName, s.Rules)
	if err != nil {
		return nil, err
	}
	e := &Engine{rules: map[int]Rule{}}
	config := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig(), e.observe).
		WithRootFS(crs.FS).
		WithDirectives(base(s)).
		WithDirectives("Include @owasp_crs/REQUEST-901-INITIALIZATION.conf\n").
		WithDirectives(own.before).
		WithDirectives(unreadable).
		WithDirectives(detection)
	changes := own.after
	for _, id := range s.Exclude {
		changes += "SecRuleRemoveById " + strconv.Itoa(id) + "\n"
	}
	e.waf, err = coraza.NewWAF(config.WithDirectives(changes))
	if err != nil {
		if s.Rules != "" {
			return nil, fmt.Errorf("%s: the rules cannot be read: %w", s.RulesName, err)
		}
		return nil, err
	}
	return e, nil
}

// base is how the engine works, and what the rule set asks its users to decide.
func base(s Settings) string {
	early := 0
	if s.Early {
		early = 1
	}
	types := ""
	for _, t := range slices.Concat(inspected, s.ContentTypes) {
		types += " |" + t + "|"
	}
	// The engine is always on: whether an attack is refused is not decided here. Audit logs would hold what clients sent. SecRxPreFilter
	// stays off: it saves a tenth to a third of the time and misses attacks (cases 932311-7 and 942220-2 of the rule set's own, with Coraza 3.8.1).
	return fmt.Sprintf(`
SecRuleEngine On
SecAuditEngine Off
SecResponseBodyAccess Off
SecRequestBodyAccess On
SecRequestBodyLimit %[1]d
SecRequestBodyInMemoryLimit %[1]d
SecRequestBodyLimitAction ProcessPartial
SecRequestBodyJsonDepthLimit 128
SecArgumentsLimit 1000
SecDefaultAction "phase:1,log,noauditlog,pass"
SecDefaultAction "phase:2,log,noauditlog,pass"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application/(?:soap\+)?xml|text/xml|application/[a-z0-9.-]+[+]xml)" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:json|[a-z0-9.-]+[+]json)" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:900000,phase:1,pass,nolog,\
setvar:tx.crs_setup_version=4250,\
setvar:tx.blocking_paranoia_level=%[2]d,\
setvar:tx.inbound_anomaly_score_threshold=%[3]d,\
setvar:tx.early_blocking=%[4]d,\
setvar:'tx.allowed_methods=GET HEAD POST PUT PATCH DELETE OPTIONS',\
setvar:'tx.allowed_request_content_type=%[5]s'"
`, max(s.MaxBody, 1), s.Paranoia, s.Threshold, early, strings.TrimSpace(types))
}

// inspected are the content types that the engine looks into and that requests may have.
var inspected = []string{
	"application/x-www-form-urlencoded", "multipart/form-data", "application/json", "application/xml", "text/xml", "application/soap+xml", "text/plain",
	"application/graphql", "application/problem+json", "application/merge-patch+json", "application/json-patch+json", "application/vnd.api+json", "application/ld+json",
	"application/scim+json", "application/hal+json", "application/geo+json", "application/cloudevents+json", "application/cloudevents-batch+json",
}

// unreadable makes attacks of content that cannot be read to its end: an endpoint may be less strict than the engine, and would then read
// what nobody has looked at. As elsewhere such a rule only counts, so that Threshold and detection hold for it too.
const unreadable = `
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,pass,log,noauditlog,msg:'Content cannot be parsed as what it says it is',tag:'attack-protocol',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,pass,log,noauditlog,msg:'Multipart content is not well-formed',tag:'attack-multipart-header',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200004,phase:1,t:none,pass,log,noauditlog,msg:'More than 1000 arguments in the query',tag:'attack-protocol',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200005,phase:2,t:none,pass,log,noauditlog,msg:'More than 1000 arguments in the content',tag:'attack-protocol',severity:'CRITICAL',setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
`

// detection are the rules for requests. Those of 905 are left out: they let requests from the box itself pass unseen, for the sake of another
// program's probes. Those for responses are of no use here.
const detection = `
Include @owasp_crs/REQUEST-911-METHOD-ENFORCEMENT.conf
Include @owasp_crs/REQUEST-913-SCANNER-DETECTION.conf
Include @owasp_crs/REQUEST-920-PROTOCOL-ENFORCEMENT.conf
Include @owasp_crs/REQUEST-921-PROTOCOL-ATTACK.conf
Include @owasp_crs/REQUEST-922-MULTIPART-ATTACK.conf
Include @owasp_crs/REQUEST-930-APPLICATION-ATTACK-LFI.conf
Include @owasp_crs/REQUEST-931-APPLICATION-ATTACK-RFI.conf
Include @owasp_crs/REQUEST-932-APPLICATION-ATTACK-RCE.conf
Include @owasp_crs/REQUEST-933-APPLICATION-ATTACK-PHP.conf
Include @owasp_crs/REQUEST-934-APPLICATION-ATTACK-GENERIC.conf
Include @owasp_crs/REQUEST-941-APPLICATION-ATTACK-XSS.conf
Include @owasp_crs/REQUEST-942-APPLICATION-ATTACK-SQLI.conf
Include @owasp_crs/REQUEST-943-APPLICATION-ATTACK-SESSION-FIXATION.conf
Include @owasp_crs/REQUEST-944-APPLICATION-ATTACK-JAVA.conf
Include @owasp_crs/REQUEST-949-BLOCKING-EVALUATION.conf
Include @owasp_crs/REQUEST-999-COMMON-EXCEPTIONS-AFTER.conf
`

// observe learns a rule while it is read.
func (e *Engine) observe(r types.RuleMetadata) {
	id, raw := r.ID(), r.Raw()
	if id == 0 || id/100 == 9491 || id/1000 == 901 || quiet(raw) { // those that add up, and those that set up
		return
	}
	e.rules[id] = Rule{ID: id, Message: message(raw), Category: category(r.Tags())}
}

// quiet says whether a rule is not to be told of.
func quiet(raw string) bool {
	for action := range strings.SplitSeq(raw, ",") {
		if action = strings.Trim(action, " \t\n\\\""); action == "nolog" {
			return true
		}
	}
	return false
}

// message is what a rule says of itself. What it would put in of a request stays out.
func message(raw string) string {
	_, after, found := strings.Cut(raw, "msg:'")
	if !found {
		return ""
	}
	text, _, _ := strings.Cut(after, "'")
	if at := strings.Index(text, "%{"); at >= 0 {
		text = strings.TrimRight(text[:at], " (:[")
	}
	return text
}

func category(tags []string) string {
	last := Categories[len(Categories)-1]
	for _, tag := range tags {
		if name, is := strings.CutPrefix(tag, "attack-"); is && slices.Contains(Categories, name) {
			return name
		}
	}
	return last
}

// Close gives up what engines share. Inspections under way go on.
func (e *Engine) Close() {
	if c, ok := e.waf.(io.Closer); ok {
		_ = c.Close() // it frees memory and cannot fail
	}
}

// Inspection is one request on its way through the rules. It is for one goroutine and has to be ended.
type Inspection struct {
	engine *Engine
	tx     types.Transaction
	done   bool // nothing more has to be looked at
	broke  bool // the engine could not do its work
}

// Begin begins with a request. Its fields come next.
func (e *Engine) Begin(h Head) *Inspection {
	i := &Inspection{engine: e, tx: e.waf.NewTransaction()}
	i.tx.ProcessConnection(h.Client, 0, h.Server, 0)
	i.tx.ProcessURI(h.Target, h.Method, h.Proto)
	return i
}

// Field adds a field of the request.
func (i *Inspection) Field(name, value string) { i.tx.AddRequestHeader(name, value) }

// Head judges the head once all fields were added, and says whether that was enough.
func (i *Inspection) Head() (enough bool) {
	i.done = i.tx.ProcessRequestHeaders() != nil
	return i.done
}

// Content judges the content, which may be nil, and with it the rest of the rules. It is called once, unless Head was enough.
func (i *Inspection) Content(content []byte) {
	if len(content) > 0 {
		if interrupted, _, err := i.tx.WriteRequestBody(content); err != nil || interrupted != nil {
			i.broke = err != nil
			return
		}
	}
	if _, err := i.tx.ProcessRequestBody(); err != nil {
		i.broke = true
	}
}

// End gives the verdict and ends the inspection.
func (i *Inspection) End() (v Verdict) {
	defer i.tx.Close()
	v.Attack = i.tx.IsInterrupted() || i.broke
	for _, m := range i.tx.MatchedRules() {
		r, told := i.engine.rules[m.Rule().ID()]
		if told && len(v.Rules) < MaxRules && !slices.ContainsFunc(v.Rules, func(o Rule) bool { return o.ID == r.ID }) {
			v.Rules = append(v.Rules, r)
		}
	}
	if s, ok := i.tx.(plugintypes.TransactionState); ok {
		if score := s.Variables().TX().Get("blocking_inbound_anomaly_score"); len(score) == 1 {
			v.Score, _ = strconv.Atoi(score[0])
		}
	}
	return v
}
