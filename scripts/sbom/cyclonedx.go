package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that is used, in the order of its schema.
type (
	document struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp  string     `json:"timestamp"`
		Component  component  `json:"component"`
		Properties []property `json:"properties"`
	}
	component struct {
		Type     string   `json:"type"`
		Ref      string   `json:"bom-ref"`
		Name     string   `json:"name"`
		Version  string   `json:"version"`
		Scope    string   `json:"scope,omitempty"`
		Hashes   []hash   `json:"hashes,omitempty"`
		Licences []choice `json:"licenses,omitempty"`
		PURL     string   `json:"purl"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	choice struct { // one of both
		Licence    *licence `json:"license,omitempty"`
		Expression string   `json:"expression,omitempty"`
	}
	licence struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// bill makes the document. A build records which modules it linked and not which of them asked for which: so all stand directly below the
// program.
func bill(info *debug.BuildInfo, parts []part, version string, date time.Time, sum [sha256.Size]byte) document {
	d := document{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", SerialNumber: serial(sum), Version: 1}
	self := component{Type: "application", Name: "straum", Version: version, PURL: purl(info.Main.Path, version),
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licences: []choice{{Licence: &licence{ID: "Apache-2.0"}}}}
	self.Ref = self.PURL
	d.Metadata = metadata{Timestamp: date.Format(time.RFC3339), Component: self}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "GOAMD64", "GOARM64", "CGO_ENABLED", "-trimpath", "-tags":
			d.Metadata.Properties = append(d.Metadata.Properties, property{"straum:build:" + s.Key, s.Value})
		}
	}
	below := dependency{Ref: self.Ref}
	for _, p := range parts {
		c := component{Type: "library", Name: p.path, Version: p.version, Scope: "required", PURL: purl(p.path, p.version), Hashes: hashes(p.sum), Licences: licences(p)}
		c.Ref = c.PURL
		d.Components = append(d.Components, c)
		below.DependsOn = append(below.DependsOn, c.Ref)
	}
	d.Dependencies = []dependency{below}
	return d
}

// serial is a UUID made of the binary's hash, as a random one would differ each time (RFC 9562 §5.8, version 8).
func serial(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// purl is a package URL of type golang.
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}

// hashes gives the SHA-256 that go.sum has: of the list of the module's files with their hashes ("h1").
func hashes(sum string) []hash {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil || len(raw) != sha256.Size {
		return nil
	}
	return []hash{{"SHA-256", hex.EncodeToString(raw)}}
}

func licences(p part) []choice {
	switch {
	case p.licence == "":
		return []choice{{Licence: &licence{Name: p.texts[0].name}}}
	case strings.Contains(p.licence, " "):
		return []choice{{Expression: p.licence}}
	}
	return []choice{{Licence: &licence{ID: p.licence}}}
}
