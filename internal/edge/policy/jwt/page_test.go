package jwt

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/policytest"
)

// The page has every word of the log, and its examples are put in force.
func TestPage(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/policies/jwt.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	w := policytest.New(t)
	w.Env["TOKEN_SECRET"] = secret
	examples := regexp.MustCompile("(?s)- jwt:(.*?)\n```").FindAllStringSubmatch(page, -1)
	for _, example := range examples {
		w.Policy(Kind, example[1])
	}
	if len(examples) < 3 {
		t.Errorf("%d examples", len(examples))
	}
	code, err := os.ReadFile("../../../token/verify.go")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"accepted", "no_consumer", "insufficient_scope", "twice", "no_keys"}
	for _, m := range regexp.MustCompile(`Reason = "([a-z_]+)"`).FindAllStringSubmatch(string(code), -1) {
		words = append(words, m[1])
	}
	if len(words) < 20 {
		t.Errorf("only %v", words)
	}
	for _, word := range words {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("the page does not know the word %s", word)
		}
	}
}
