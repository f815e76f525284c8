package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/consumer"
)

func TestUntilWhen(t *testing.T) {
	now := time.Date(2026, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600)) // the next year in UTC
	f := func(text, want string) {
		t.Helper()
		got, err := untilWhen(text, now)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	f("", "")
	f("1d", "2027-01-02")
	f("90d", "2027-04-01")
	f("20000d", "2081-10-04")
	f("20001d", `found "20001d"; allowed: 1d to 20000d`)
	f("-1d", `found "-1d"`)
	f("d", `found "d"`)
	f("2027-01-01", "2027-01-01")
	f("2026-12-31", "2026-12-31 is over already")
	f("2027-01-01T00:00:01Z", "2027-01-01T00:00:01Z")
	f("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z is over already")
	f("soon", `found "soon"`)
}

// What is to be pasted is taken by the gateway, and means the key.
func TestMadeKeyIsTaken(t *testing.T) {
	key, id, hash, err := consumer.NewKey(strings.NewReader(strings.Repeat("random", 100)))
	if err != nil {
		t.Fatal(err)
	}
	k := madeKey{Key: key, ID: id, Hash: hash, Consumer: "acme", Expires: "2099-01-31", Scopes: []string{"b:#", "a"}}
	b := consumer.NewBuilder()
	if err := b.ReadFile("pasted", strings.NewReader(k.line())); err != nil {
		t.Fatalf("%v: %s", err, k.line())
	}
	c, ok := b.Build().Key(consumer.Hash(key))
	if got := fmt.Sprintln(ok, c.ID == id, c.Consumer.ID, c.Scopes, c.Expires); got != "true true acme [a b:#] 4073587200\n" {
		t.Error(got)
	}
	const rest = "listeners: [{ address: ':8080' }]\nupstreams: { orders: { endpoints: [127.0.0.1:1] } }\nroutes: [{ name: orders, match: { path: /* }, upstream: orders }]\n"
	read, err := config.Parse("pasted.yaml", []byte(rest+k.yaml()), config.Options{})
	if err != nil {
		t.Fatalf("%v:\n%s", err, k.yaml())
	}
	pasted := &read.Consumers[0].Credentials[0]
	if got := fmt.Sprintln(read.Consumers[0].ID, pasted.APIKey == hash, pasted.ID == id, pasted.Scopes, pasted.Expires); got != "acme true true [b:# a] 2099-01-31\n" {
		t.Error(got)
	}
}

// Nobody is told to type into what is no terminal.
func TestReadSecretAsks(t *testing.T) {
	f := func(path string, want bool) {
		t.Helper()
		in, err := os.Open(path)
		if err != nil {
			t.Skip(err)
		}
		defer in.Close()
		var told bytes.Buffer
		c := newKeyHash()
		c.SetIn(in)
		c.SetErr(&told)
		if _, err := readSecret(c, "key"); err == nil {
			t.Errorf("%s holds a key", path)
		}
		if got := strings.HasPrefix(told.String(), "Type the key"); got != want {
			t.Errorf("%s: told %q", path, told.String())
		}
	}
	f(os.DevNull, false)
	f("/dev/zero", true) // the nearest to a terminal that is always there: a device that gives something
	f("key_test.go", false)
}
