package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxSetDepth is how deep the JSON of a set may nest.
const maxSetDepth = 16

// ParseSet reads a JWK set (RFC 7517 §5) from somebody's address. Keys that cannot verify tokens here are left out, each with a warning
// that says why: keys for encryption, of unknown types or algorithms, weak ones, and symmetric ones, since what everybody can fetch is no
// secret. A private key among them is a warning too; its public half is used. The error says that the text is no set, is over the
// bounds, or that no key is left. Neither shows key material.
func ParseSet(jwks []byte) (*Set, []string, error) { return parseSet(jwks, false) }

// ParseLocalSet is ParseSet for a set of the operator's own, out of a file or the configuration: it may hold symmetric keys.
func ParseLocalSet(jwks []byte) (*Set, []string, error) { return parseSet(jwks, true) }

func parseSet(jwks []byte, local bool) (*Set, []string, error) {
	if len(jwks) > MaxSetBytes {
		return nil, nil, fmt.Errorf("the key set has %d bytes; at most %d are accepted", len(jwks), MaxSetBytes)
	}
	set, err := object(jwks, maxSetDepth)
	if err != nil {
		return nil, nil, fmt.Errorf("the key set is not the JSON it should be: %w", err)
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, nil, errors.New(`the key set has no list called "keys"`)
	}
	if len(list) > MaxKeys {
		return nil, nil, fmt.Errorf("the key set has %d keys; at most %d are accepted", len(list), MaxKeys)
	}
	var keys []*Key
	var warnings []string
	for i, item := range list {
		jwk, ok := item.(map[string]any)
		if !ok {
			warnings = append(warnings, fmt.Sprintf("key %d is left out: it is no JSON object", i+1))
			continue
		}
		place := fmt.Sprintf("key %d", i+1)
		if kid, _ := jwk["kid"].(string); kid != "" {
			place = fmt.Sprintf("key %d (%q)", i+1, clip(kid))
		}
		key, err := parseKey(jwk, local)
		if err != nil {
			warnings = append(warnings, place+" is left out: "+err.Error())
			continue
		}
		if key.public != nil && jwk["d"] != nil {
			warnings = append(warnings, place+" is a private key: whoever can read this set can sign tokens; replace the key, and publish its public half alone")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, warnings, errors.New("the key set has no key that could verify tokens" + because(warnings))
	}
	return NewSet(keys...), warnings, nil
}

func because(warnings []string) string {
	const most = 3
	if len(warnings) == 0 {
		return ""
	}
	if len(warnings) > most {
		warnings = append(slices.Clip(warnings[:most]), "…")
	}
	return ": " + strings.Join(warnings, "; ")
}

// parseKey makes a key from a JWK. The error says why it is of no use here.
func parseKey(jwk map[string]any, local bool) (*Key, error) {
	var kid, alg, kty string
	for name, into := range map[string]*string{"kid": &kid, "alg": &alg, "kty": &kty} {
		if v, there := jwk[name]; there {
			text, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("its %q is no string", name)
			}
			*into = text
		}
	}
	if err := checkUse(jwk); err != nil {
		return nil, err
	}
	algorithm := Algorithm(alg)
	if alg != "" && !algorithm.known() {
		return nil, fmt.Errorf("it is for %q, which is no algorithm of tokens here", clip(alg))
	}
	if kty == "oct" && !local {
		return nil, errors.New("it is a secret that everybody can fetch")
	}
	// The library gets what makes the key and nothing else, so that no certificate or address in the set is looked at.
	bare := map[string]any{"kty": kty}
	for _, name := range []string{"n", "e", "crv", "x", "y", "k"} {
		if v, there := jwk[name]; there {
			bare[name] = v
		}
	}
	text, err := json.Marshal(bare)
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	var read jose.JSONWebKey
	if err := read.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("it is no key of a type known here (%q)", clip(kty))
	}
	secret, ok := read.Key.([]byte)
	if !ok {
		return NewPublicKey(kid, algorithm, read.Key)
	}
	if alg == "" {
		return nil, errors.New(`it is a secret without an "alg" that says what for`)
	}
	return NewSecretKey(kid, algorithm, secret)
}

// checkUse honours what the set says a key is for (RFC 7517 §4.2 and §4.3).
func checkUse(jwk map[string]any) error {
	if use, there := jwk["use"]; there && use != "sig" {
		return errors.New("it is not for signatures")
	}
	ops, there := jwk["key_ops"]
	if !there {
		return nil
	}
	list, ok := ops.([]any)
	if !ok {
		return errors.New(`its "key_ops" is no list`)
	}
	// A private key is for signing; its public half is what verifies.
	if !slices.Contains(list, any("verify")) && (jwk["d"] == nil || !slices.Contains(list, any("sign"))) {
		return errors.New("it is not for verifying")
	}
	return nil
}
