package waf

import (
	"errors"
	"strings"
	"testing"
)

func TestSplitRules(t *testing.T) {
	f := func(text, before, after, want string) {
		t.Helper()
		own, err := splitRules("own.conf", text)
		if err != nil {
			if want == "" || !strings.HasPrefix(err.Error(), "own.conf"+want) {
				t.Errorf("%q: %v, want %s", text, err, want)
			}
			return
		}
		if want != "" || own.before != before || own.after != after {
			t.Errorf("%q: %q and %q, want %q and %q %s", text, own.before, own.after, before, after, want)
		}
	}
	f("", "", "", "")
	f("# a\n\n  secrule A \"b\" \"id:1\"\r\n", "  secrule A \"b\" \"id:1\"\n", "", "")
	f("SecRule A \\\n \"b\" \\\n# no comment\nSecRuleRemoveById 1\nSecAction x", "SecRule A \\\n \"b\" \\\n# no comment\nSecAction x\n", "SecRuleRemoveById 1\n", "")
	f("SecRuleUpdateTargetByTag a \\\n  b\n", "", "SecRuleUpdateTargetByTag a \\\n  b\n", "")
	f("SecAuditLog /tmp/x\n", "", "", `:1: found the directive "SecAuditLog"; allowed: SecRule, SecAction,`)
	f("SecRule\n\nsecdebuglog /x", "", "", `:3: found the directive "secdebuglog"`)
	f("<IfModule x>", "", "", `:1: found the directive "<IfModule"`)
	f("SecRule A \\\n\"@rx b\" \"EXEC:/x\"", "", "", ":2: found exec, which does more than judge a request; take it out")
	f("SecRule A \"@ipMatchFromFile /x\" \"id:1\"", "", "", ":1: found @ipmatchfromfile")
	f("SecRule A \\", "", "", ":1: the last line says that it goes on")
	f(strings.Repeat("#", MaxRulesText+1), "", "", ": found 1048577 bytes; allowed: up to 1048576")
}

// New reads own rules in every program, and works only in one that has the engine.
func TestNew(t *testing.T) {
	if _, err := New(Settings{Paranoia: 1, Threshold: 5, Rules: "Include x", RulesName: "own.conf"}); err == nil || !strings.HasPrefix(err.Error(), "own.conf:1:") {
		t.Error(err)
	}
	if e, err := New(Settings{Paranoia: 1, Threshold: 5}); Built != (err == nil) || !Built && !errors.Is(err, ErrNotBuilt) {
		t.Error(err)
	} else {
		e.Close()
	}
}
