package waf

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxRulesText is how many bytes a file of own rules may have.
const MaxRulesText = 1 << 20

// ownRules are the operator's own rules, by when they have to be read.
type ownRules struct {
	// before is read before the rules of the Core Rule Set and can switch them off for a request, after once they are all there.
	before, after string
}

// directives are those that may be used, and whether they change rules that have to be there before.
var directives = map[string]bool{
	"secrule": false, "secaction": false, "secmarker": false,
	"secruleremovebyid": true, "secruleremovebytag": true, "secruleremovebymsg": true,
	"secruleupdatetargetbyid": true, "secruleupdatetargetbytag": true, "secruleupdatetargetbymsg": true, "secruleupdateactionbyid": true,
}

// allowedDirectives is for errors.
const allowedDirectives = "SecRule, SecAction, SecMarker, SecRuleRemoveById, SecRuleRemoveByTag, SecRuleRemoveByMsg, SecRuleUpdateTargetById, SecRuleUpdateTargetByTag, SecRuleUpdateTargetByMsg and SecRuleUpdateActionById"

// refusedActions are those that do more than judge, or that would let a client decide what the gateway does.
var refusedActions = []string{"exec:", "proxy:", "setenv:", "initcol:", "setsid:", "setuid:", "ctl:debugloglevel", "ctl:auditengine", "ctl:auditlogparts", "@inspectfile", "@ipmatchfromfile", "@ipmatchf ", "@pmfromfile", "@pmf ", "@rbl", "@geolookup", "@fuzzyhash"}

// splitRules reads the text of own rules as far as it takes to know its directives. name is where it stands.
func splitRules(name, text string) (own ownRules, err error) {
	if len(text) > MaxRulesText {
		return own, fmt.Errorf("%s: found %d bytes; allowed: up to %d", name, len(text), MaxRulesText)
	}
	var before, after strings.Builder
	into, continued := &before, false
	n := 0
	for line := range strings.Lines(text) {
		n++
		plain := strings.TrimSpace(line)
		if !continued {
			if plain == "" || plain[0] == '#' {
				continue
			}
			word := plain
			if end := strings.IndexAny(plain, " \t"); end >= 0 {
				word = plain[:end]
			}
			changes, known := directives[strings.ToLower(word)]
			if !known {
				return own, fmt.Errorf("%s:%d: found the directive %s; allowed: %s", name, n, strconv.Quote(word), allowedDirectives)
			}
			if into = &before; changes {
				into = &after
			}
		}
		lower := strings.ToLower(plain)
		for _, action := range refusedActions {
			if strings.Contains(lower, action) {
				return own, fmt.Errorf("%s:%d: found %s, which does more than judge a request; take it out", name, n, strings.TrimSpace(strings.TrimSuffix(action, ":")))
			}
		}
		into.WriteString(strings.TrimRight(line, "\r\n"))
		into.WriteByte('\n')
		continued = strings.HasSuffix(plain, `\`)
	}
	if continued {
		return own, fmt.Errorf("%s:%d: the last line says that it goes on, and there is no more", name, n)
	}
	return ownRules{before.String(), after.String()}, nil
}
