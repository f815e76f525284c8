package consumer

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

func TestNewKey(t *testing.T) {
	form := regexp.MustCompile("^" + KeyPattern + "$")
	seen := map[string]bool{}
	for range 1000 {
		key, id, hash, err := NewKey(rand.Reader)
		check(t, err)
		if !form.MatchString(key) || FormOf(key) != Sound || KeyID(key) != id || !strings.HasPrefix(key, "straum_"+id+"_") {
			t.Fatalf("%s with id %s", key, id)
		}
		parsed, err := ParseHash(hash)
		if err != nil || parsed != Hash(key) {
			t.Fatalf("%s: %v", hash, err)
		}
		if seen[key] || seen[id] {
			t.Fatal("made twice")
		}
		seen[key], seen[id] = true, true
	}
}

// The key of known random bytes: its form is a promise to secret scanners.
func TestKeyForm(t *testing.T) {
	var random []byte
	for i := range 256 {
		random = append(random, byte(255-i)) // the first bytes are ones that would favour some characters
	}
	key, id, hash, err := NewKey(bytes.NewReader(random))
	check(t, err)
	// The checksum was computed with Python's zlib.crc32.
	if want := "straum_zyxwvuts_543210zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQP0EyciI"; key != want || id != "zyxwvuts" {
		t.Errorf("%s, want %s", key, want)
	}
	if len(key) != 65 || len(hash) != 50 {
		t.Errorf("%d and %d characters", len(key), len(hash))
	}
	if _, _, _, err := NewKey(io.LimitReader(bytes.NewReader(random), 100)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without random bytes: %v", err)
	}
}

func TestFormOf(t *testing.T) {
	key, _, _, err := NewKey(rand.Reader)
	check(t, err)
	f := func(key string, want Form) {
		t.Helper()
		if got := FormOf(key); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	f(key, Sound)
	f("", Foreign)
	f("a key of another kind", Foreign)
	f("Straum"+key[6:], Foreign)
	f("straum_", Damaged)
	f(key[:64], Damaged)
	f(key+"a", Damaged)
	f(key[:15]+"-"+key[16:], Damaged)
	// Every single character counts, and so does every exchange of two that differ.
	for i := 7; i < len(key); i++ {
		other := byte('a')
		if key[i] == 'a' {
			other = 'b'
		}
		f(key[:i]+string(other)+key[i+1:], Damaged)
		if i > 7 && key[i] != key[i-1] {
			f(key[:i-1]+string(key[i])+string(key[i-1])+key[i+1:], Damaged)
		}
	}
}

func TestParseHash(t *testing.T) {
	good := FormatHash(Hash("a"))
	if _, err := ParseHash(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "sha256:", good[7:], good[:49], good + "A", "sha512:" + good[7:], "SHA256:" + good[7:], good[:49] + "=", good[:49] + "B", good[:20] + "\n" + good[21:], good[:20] + "+" + good[21:], "straum_abcdefgh_canary"} {
		if _, err := ParseHash(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) && bad != "sha256:" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseExpires(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		if got, err := ParseExpires(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	f("1970-01-01", 86400)
	f("2027-01-31", 1801440000)
	f("2027-02-01T00:00:00Z", 1801440000)
	f("2027-02-01T01:00:00.5+01:00", 1801440000)
	for _, bad := range []string{"", "90d", "2027-02-30", "2027-1-1", "2027-01-31 12:00:00", "1969-12-30", "2200-01-01", "31.01.2027"} {
		if at, err := ParseExpires(bad); err == nil {
			t.Errorf("%q is %d", bad, at)
		}
	}
}

// A hash of nothing is what a script makes that was given no key, and everybody knows it.
func TestHashOfNothing(t *testing.T) {
	if _, err := ParseHash("sha256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"); !errors.Is(err, errNoKey) {
		t.Errorf("%v, want %v", err, errNoKey)
	}
}
