package consumer

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// attributes are the names of the attributes that subjects have in practice, as openssl writes them.
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode", "2.5.4.42": "GN", "2.5.4.46": "dnQualifier",
	"2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.1": "UID",
	"0.9.2342.19200300.100.1.25": "DC",
}

// Subject is the subject of a certificate as RFC 2253 writes it: the last attribute first, as openssl x509 -noout -subject -nameopt RFC2253
// prints it. It is fit for a header field. It is empty when there is none, or none that can be read.
func Subject(c *x509.Certificate) string {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &names); err != nil || len(rest) > 0 {
		return ""
	}
	var b []byte
	for _, names := range slices.Backward(names) {
		for j, name := range names {
			switch {
			case j > 0:
				b = append(b, '+')
			case len(b) > 0:
				b = append(b, ',')
			}
			oid := name.Type.String()
			value, isText := name.Value.(string)
			if known := attributes[oid]; known != "" && isText {
				b = appendValue(append(append(b, known...), '='), value, true)
				continue
			}
			der, err := asn1.Marshal(name.Value)
			if err != nil {
				return ""
			}
			b = hex.AppendEncode(append(append(b, oid...), "=#"...), der)
		}
	}
	return string(b)
}

// appendValue writes the value of an attribute with what RFC 2253 §2.4 escapes. Bytes that could not stand in a field, and those beyond ASCII
// when they are to be escaped, become \XX.
func appendValue(b []byte, value string, beyond bool) []byte {
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ' || c == 0x7f || c >= 0x80 && beyond:
			b = fmt.Appendf(b, "\\%02X", c)
		case strings.IndexByte(`,+"\<>;`, c) >= 0, (c == ' ' || c == '#') && i == 0, c == ' ' && i == len(value)-1:
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return b
}

var errSubject = errors.New(`found a subject that cannot be read; allowed: type=value pairs with commas between them, \ before , + " \ < > and ;, as openssl x509 -noout -subject -nameopt RFC2253 prints it`)

// canonicalSubject is the one text for all ways to write a subject: types in upper case, no spaces around separators, the attributes of one
// part in order, and the same escapes.
func canonicalSubject(text string) (string, error) {
	var parts, part []string
	for text != "" {
		kind, rest, ok := strings.Cut(text, "=")
		kind = strings.ToUpper(strings.Trim(kind, " "))
		if !ok || kind == "" || !only(kind, ".-") {
			return "", errSubject
		}
		value, separator, rest, err := subjectValue(strings.TrimLeft(rest, " "))
		if err != nil || separator != 0 && strings.Trim(rest, " ") == "" {
			return "", errSubject
		}
		part = append(part, kind+"="+value)
		if separator != '+' {
			slices.Sort(part)
			parts = append(parts, strings.Join(part, "+"))
			part = nil
		}
		text = rest
	}
	return strings.Join(parts, ","), nil
}

// subjectValue reads a value to the separator after it.
func subjectValue(text string) (value string, separator byte, rest string, err error) {
	if strings.HasPrefix(text, "#") { // in DER, which is left as it is
		end := strings.IndexAny(text, ",+ ")
		if end < 0 {
			end = len(text)
		}
		value, rest = text[:end], strings.TrimLeft(text[end:], " ")
		if _, err := hex.DecodeString(value[1:]); err != nil {
			return "", 0, "", errSubject
		}
		if rest != "" {
			if separator, rest = rest[0], rest[1:]; separator != ',' && separator != '+' {
				return "", 0, "", errSubject
			}
		}
		return strings.ToLower(value), separator, rest, nil
	}
	var plain []byte
	spaces := 0 // at the end, not escaped
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ',' || c == '+':
			return finish(plain[:len(plain)-spaces], c, text[i+1:])
		case c == '"' || c == ';' || c == '<' || c == '>':
			return "", 0, "", errSubject
		case c == '\\':
			i++
			if i == len(text) {
				return "", 0, "", errSubject
			}
			if i+1 < len(text) {
				if raw, err := hex.DecodeString(text[i : i+2]); err == nil {
					plain, spaces = append(plain, raw...), 0
					i++
					continue
				}
			}
			plain, spaces = append(plain, text[i]), 0
		case c == ' ':
			plain = append(plain, c)
			spaces++
		default:
			plain, spaces = append(plain, c), 0
		}
	}
	return finish(plain[:len(plain)-spaces], 0, "")
}

func finish(plain []byte, separator byte, rest string) (string, byte, string, error) {
	if !utf8.Valid(plain) {
		return "", 0, "", errSubject
	}
	return string(appendValue(nil, string(plain), false)), separator, rest, nil
}
