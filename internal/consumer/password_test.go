package consumer

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// annHash is bcrypt of "secret", as cheap as it gets.
const annHash = "$2a$04$..KfnZ4.eS5vjAfZTJGrMOYYXk6PFfXNxTlbhCsphE3sbUFMBvtyK"

func TestVerify(t *testing.T) {
	made, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	check(t, err)
	argon, err := HashPassword(rand.Reader, "secret")
	check(t, err)
	if !strings.HasPrefix(argon, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Error(argon)
	}
	for _, text := range []string{
		annHash, string(made), argon,
		strings.Replace(string(made), "$2a$", "$2b$", 1), strings.Replace(string(made), "$2a$", "$2y$", 1),
	} {
		p := password(t, text)
		if !p.Verify("secret") || p.Verify("Secret") || p.Verify("") || p.Verify("secret ") {
			t.Errorf("%s", text)
		}
	}
	if (Password{}).Verify("") {
		t.Error("nobody's password was verified")
	}
}

// What others made is understood: hashes of libxcrypt, and the reference implementation's own test of argon2id.
func TestVerifyForeign(t *testing.T) {
	f := func(text, right string) {
		t.Helper()
		if p := password(t, text); !p.Verify(right) || p.Verify(right+"x") {
			t.Errorf("%s", text)
		}
	}
	f("$2b$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u", "secret")
	f("$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "secret")
	f("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password")
}

func TestParsePassword(t *testing.T) {
	const salt, sum = "c2FsdHNhbHQ", "MDEyMzQ1Njc4OWFiY2RlZg"
	f := func(text, want string) {
		t.Helper()
		if _, err := ParsePassword(text); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		} else if err != nil && strings.Contains(err.Error(), sum) {
			t.Errorf("%s: repeated in %v", text, err)
		}
	}
	const no = "no hash of a password"
	f("", no)
	f("secret", no)
	f(annHash, "<nil>")
	f(annHash[:59], no)
	f(annHash+"a", no)
	f("$2x"+annHash[3:], no)
	f("$2$"+annHash[3:], no)
	f("$1a"+annHash[3:], no)
	f("$2a$16"+annHash[6:], `cost "16"; allowed: 4 to 15`)
	f("$2a$03"+annHash[6:], "cost")
	f("$2a$+4"+annHash[6:], "cost")
	f(annHash[:30]+"$"+annHash[31:], no)
	argon := func(settings string) string { return "$argon2id$v=19$" + settings + "$" + salt + "$" + sum }
	f(argon("m=8,t=1,p=1"), "<nil>")
	f(argon("m=262144,t=10,p=8"), "<nil>")
	f(argon("m=262145,t=1,p=1"), "allowed: m from")
	f(argon("m=4294967295,t=1,p=1"), "allowed: m from")
	f(argon("m=4294967296,t=1,p=1"), no)
	f(argon("m=19456,t=11,p=1"), "allowed: m from")
	f(argon("m=19456,t=1,p=9"), "allowed: m from")
	f(argon("m=15,t=1,p=2"), "allowed: m from")
	f(argon("m=19456,t=0,p=1"), no)
	f(argon("m=19456,t=1,p=0"), no)
	f(argon("t=1,m=19456,p=1"), no)
	f(argon("m=19456,t=1"), no)
	f(argon("m=19456,t=1,p=1,keyid=a"), no)
	f(argon("m=+19456,t=1,p=1"), no)
	f("$argon2id$v=16$m=19456,t=1,p=1$"+salt+"$"+sum, no)
	f("$argon2i$v=19$m=19456,t=1,p=1$"+salt+"$"+sum, no)
	f("$argon2id$v=19$m=19456,t=1,p=1$c2E$"+sum, no)
	f("$argon2id$v=19$m=19456,t=1,p=1$"+salt+"$c2FsdA", no)
	f("$argon2id$v=19$m=19456,t=1,p=1$"+salt+"$"+sum+"==", no)
	f("$argon2id$v=19$m=19456,t=1,p=1$"+salt+"$"+strings.Repeat("a", 500), no)
}

func TestWeakPasswords(t *testing.T) {
	b := NewBuilder()
	check(t, b.Consumer(Consumer{ID: "acme"}))
	for i := range 30 {
		check(t, b.Basic("acme", BasicSpec{Username: fmt.Sprint("u", i), Password: password(t, annHash)}))
	}
	strong, err := HashPassword(rand.Reader, "a")
	check(t, err)
	check(t, b.Basic("acme", BasicSpec{Username: "ann", Password: password(t, strong)}))
	w := b.Build().Warnings()
	if len(w) != maxWarnings || !strings.HasPrefix(w[0], "the password of u0 is hashed with bcrypt at cost 4; below 10") {
		t.Errorf("%q", w)
	}
	if strings.Contains(fmt.Sprint(w), annHash[10:]) {
		t.Error("a hash is in a warning")
	}
	if w := password(t, "$argon2id$v=19$m=4096,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg").weakness(); !strings.Contains(w, "4096 KiB") {
		t.Error(w)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, text := range []string{
		"$2b$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u",
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		p := Password{text}
		b.Run(text[1:3], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Verify("secret")
			}
		})
	}
}
