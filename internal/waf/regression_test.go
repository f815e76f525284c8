//go:build waf

package waf

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v4"
)

// regression is a file of the Core Rule Set's own cases, in the form of go-ftw, as far as it is used here.
type regression struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		ID     int    `yaml:"test_id"`
		Desc   string `yaml:"desc"`
		Stages []stage
	}
}

type stage struct {
	Input struct {
		Method, URI, Version string
		Headers              yaml.Node
		Data                 string
		EncodedRequest       string `yaml:"encoded_request"`
		Autocomplete         *bool  `yaml:"autocomplete_headers"`
	}
	Output struct {
		Status int
		Log    struct {
			Expect   []int  `yaml:"expect_ids"`
			Unwanted []int  `yaml:"no_expect_ids"`
			Match    string `yaml:"match_regex"`
			NoMatch  string `yaml:"no_match_regex"`
		}
		ExpectError bool `yaml:"expect_error"`
	}
}

// play takes the request of a case through the rules as the policy takes one, and says which were met.
func play(e *Engine, s *stage) []int {
	in := &s.Input
	or := func(text, other string) string {
		if text == "" {
			return other
		}
		return text
	}
	i := e.Begin(Head{Method: or(in.Method, "GET"), Target: or(in.URI, "/"), Proto: or(in.Version, "HTTP/1.1"), Client: "192.0.2.1", Server: "192.0.2.2"})
	typed, sized := false, false
	for n := 0; n+1 < len(in.Headers.Content); n += 2 {
		name, value := in.Headers.Content[n].Value, in.Headers.Content[n+1].Value
		typed = typed || strings.EqualFold(name, "Content-Type")
		sized = sized || strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding")
		i.Field(name, value)
	}
	if in.Data != "" && (in.Autocomplete == nil || *in.Autocomplete) { // as go-ftw does
		if !typed {
			i.Field("Content-Type", "application/x-www-form-urlencoded")
		}
		if !sized {
			i.Field("Content-Length", strconv.Itoa(len(in.Data)))
		}
	}
	i.Head()
	i.Content([]byte(in.Data))
	var met []int
	for _, m := range i.tx.MatchedRules() {
		met = append(met, m.Rule().ID())
	}
	i.End()
	return met
}

// known are cases that end otherwise here, with the reason for each.
var known = map[string]string{
	"911100-6":  "DELETE is a method of APIs and is allowed here",
	"920420-14": "the content type is one of APIs and is allowed here",
	"920420-15": "the content type is one of APIs and is allowed here",
	"920420-19": "the content type is one of APIs and is allowed here",
	"920420-20": "the content type is one of APIs and is allowed here",
	"920430-5":  "HTTP/0.9, which the gateway's own reader of HTTP refuses",
	"920181-1":  "two lengths of one body, which the gateway's own reader of HTTP refuses",
	"920640-5":  "content without a length, which the gateway's own reader of HTTP does not see",
	"921140-1":  "a bare CR, which the gateway's own reader of HTTP refuses",
}

// options are those of the rule set that its cases ask to be set, and that are left as they are otherwise.
const options = `SecAction "id:1,phase:1,pass,nolog,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
setvar:tx.max_num_args=255,setvar:tx.total_arg_length=64000,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"`

// TestRegression plays the cases that the Core Rule Set ships for its rules on requests. What is left out, and why, is in the log.
func TestRegression(t *testing.T) {
	open := func(threshold int) *Engine {
		e, err := New(Settings{Paranoia: 4, Threshold: threshold, MaxBody: 1 << 20, Rules: options, RulesName: "options"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		return e
	}
	all, strict := open(1<<20), open(5)
	ran, passed := 0, 0
	left := map[string]int{}
	files, err := fs.Glob(tests.FS, "REQUEST-*/*.yaml")
	if err != nil || len(files) < 250 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(tests.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		var r regression
		if err := yaml.Unmarshal(text, &r); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, c := range r.Tests {
			for n := range c.Stages {
				s := &c.Stages[n]
				switch log := s.Output.Log; {
				case s.Input.EncodedRequest != "":
					left["raw bytes, which the gateway's own reader of HTTP refuses or takes"]++
					continue
				case len(log.Expect) == 0 && len(log.Unwanted) == 0:
					left["an answer of Apache's is expected, and no rule"]++
					continue
				}
				ran++
				e := all
				if r.RuleID == 949110 { // that of the threshold
					e = strict
				}
				met := play(e, s)
				wrong := ""
				for _, id := range s.Output.Log.Expect {
					if !slices.Contains(met, id) {
						wrong += fmt.Sprintf(" %d is not met", id)
					}
				}
				for _, id := range s.Output.Log.Unwanted {
					if slices.Contains(met, id) {
						wrong += fmt.Sprintf(" %d is met", id)
					}
				}
				name := fmt.Sprintf("%d-%d", r.RuleID, c.ID)
				reason, excused := known[name]
				switch {
				case wrong == "" && excused:
					t.Errorf("%s passes now; take it off the list", name)
				case wrong == "":
					passed++
				case excused:
					left[reason]++
				default:
					t.Errorf("%s (%s):%s", name, strings.TrimSpace(c.Desc), wrong)
				}
			}
		}
	}
	t.Logf("%d of %d cases pass", passed, ran)
	for reason, n := range left {
		t.Logf("%4d: %s", n, reason)
	}
}
