package ticket

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestPeriod(t *testing.T) {
	p := Period(DefaultPeriod)
	n := p.At(start)
	if begin := p.Begin(n); begin.After(start) || !p.Begin(n+1).After(start) {
		t.Errorf("%v lies in period %d, which begins at %v", start, n, begin)
	}
	if p.At(p.Begin(n)) != n || p.At(p.Begin(n).Add(-1)) != n-1 {
		t.Error("a period does not begin where it begins")
	}
	if p.At(time.Time{}) != 0 {
		t.Error("times before 1970 are not in the first period")
	}
	for d, ok := range map[time.Duration]bool{
		MinPeriod: true, MaxPeriod: true, DefaultPeriod: true, MinPeriod - 1: false, MaxPeriod + time.Second: false, time.Hour + 1: false, 0: false, -time.Hour: false,
	} {
		if err := Period(d).check(); (err == nil) != ok {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// sealed puts a right sum below a text.
func sealed(text string) string {
	return text + fmt.Sprintf("sum %x\n", sha256.Sum256([]byte(text)))
}

func TestParse(t *testing.T) {
	digits := strings.Repeat("ab", 32)
	good := header + "\nperiod 43200\n7 " + digits + "\n8 " + digits + "\n"
	r, err := parse([]byte(sealed(good)))
	if err != nil || len(r.secrets) != 2 || r.period != Period(DefaultPeriod) || r.secrets[8][0] != 0xab || string(r.text()) != sealed(good) {
		t.Fatalf("got %v, %v", r, err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "not what straum writes"},
		{"something else", "hello\n", "not what straum writes"},
		{"another version", sealed(strings.Replace(good, "secrets 1", "secrets 2", 1)), `version is "2"; this straum reads version 1`},
		{"edited", strings.Replace(sealed(good), "ab", "ba", 1), "damaged or edited"},
		{"cut off", sealed(good)[:len(sealed(good))-1], "damaged or edited"},
		{"continued", sealed(good) + "\n", "damaged or edited"},
		{"no sum", good, "not what straum writes"},
		{"short secret", sealed(header + "\nperiod 43200\n7 abab\n"), "not what straum writes"},
		{"not hexadecimal", sealed(header + "\nperiod 43200\n7 " + strings.Repeat("xy", 32) + "\n"), "not what straum writes"},
		{"no number", sealed(header + "\nperiod 43200\nx " + digits + "\n"), "not what straum writes"},
		{"negative", sealed(header + "\nperiod 43200\n-7 " + digits + "\n"), "not what straum writes"},
		{"twice", sealed(header + "\nperiod 43200\n7 " + digits + "\n7 " + digits + "\n"), "not what straum writes"},
		{"too many", sealed(header + "\nperiod 43200\n" + strings.Join([]string{"1 " + digits, "2 " + digits, "3 " + digits, "4 " + digits}, "\n") + "\n"), "not what straum writes"},
		{"no period", sealed(header + "\n7 " + digits + "\n"), "not what straum writes"},
		{"odd period", sealed(header + "\nperiod 1\n7 " + digits + "\n"), "the period is 1s"},
		{"too large", header + strings.Repeat("x", maxFile), "larger than"},
		{"no line", sealed(header), "not what straum writes"},
	} {
		if r, err := parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v; want %q in the error", c.name, r, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	r := &ring{period: Period(DefaultPeriod)}
	r.turn(7, draw)
	f.Add(r.text(), false)
	f.Add([]byte(header+"\nperiod 43200\n7 "+strings.Repeat("ab", 32)+"\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, seal bool) {
		if seal {
			text = []byte(sealed(string(text)))
		}
		r, err := parse(text)
		if err != nil {
			return
		}
		if len(r.secrets) > maxSecrets {
			t.Fatalf("%d secrets", len(r.secrets))
		}
		again, err := parse(r.text())
		if err != nil || again.period != r.period || !maps.Equal(again.secrets, r.secrets) {
			t.Fatalf("does not read what it writes: %v", err)
		}
	})
}

// However time goes, forwards or back, a ring holds the three secrets it is asked for, never another for the same period while it holds
// one, and no more.
func TestTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &ring{period: Period(DefaultPeriod)}
		drawn := byte(0)
		draw := func() Secret { drawn++; return Secret{drawn} }
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			before, n := maps.Clone(r.secrets), rapid.Int64Range(0, 8).Draw(t, "n")
			count := drawn
			changed := r.turn(n, draw)
			s := r.around(n)
			if s.Number != n || s.Current == (Secret{}) || s.Next == (Secret{}) || s.Previous == (Secret{}) || len(r.secrets) > maxSecrets {
				t.Fatalf("period %d: %v of %v", n, s, r.secrets)
			}
			for each, secret := range r.secrets {
				if old, had := before[each]; had && old != secret {
					t.Fatalf("the secret of period %d was changed", each)
				}
				if each < n-1 || each > n+1 {
					t.Fatalf("in period %d that of %d is kept", n, each)
				}
			}
			if changed != !maps.Equal(before, r.secrets) || (drawn != count) && !changed {
				t.Fatalf("says changed: %v", changed)
			}
		}
	})
}

func TestShared(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	rapid.Check(t, func(t *rapid.T) {
		p := Period(time.Duration(rapid.Int64Range(60, 7*24*3600).Draw(t, "period")) * time.Second)
		now := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "now"), 0)
		one, err := NewShared(secret, p)
		if err != nil {
			t.Fatal(err)
		}
		two, _ := NewShared(bytes.Clone(secret), p)
		a, _ := one.Secrets(now)
		later, _ := two.Secrets(now.Add(time.Duration(p)))
		if a.Current != later.Previous || a.Next != later.Current {
			t.Fatal("two boxes do not agree about a period")
		}
		if a.Current == a.Previous || a.Current == a.Next || later.Next == a.Current {
			t.Fatal("periods share a secret")
		}
	})
	day, _ := NewShared(secret, Period(24*time.Hour))
	half, _ := NewShared(secret, Period(12*time.Hour))
	other, _ := NewShared(bytes.Repeat([]byte{8}, 32), Period(12*time.Hour))
	at := time.Unix(0, 0)
	a, _ := day.Secrets(at)
	b, _ := half.Secrets(at)
	c, _ := other.Secrets(at)
	if a.Current == b.Current || b.Current == c.Current {
		t.Error("another period or secret makes no difference")
	}
	// Another version of straum in the fleet has to derive the same. This came from three calls of openssl kdf (HKDF).
	if got, want := fmt.Sprintf("%x", b.keys("here")[0][:8]), "f34fa8800235bb5f"; got != want {
		t.Errorf("derives %s, want %s", got, want)
	}
	if _, err := NewShared(secret[:31], Period(DefaultPeriod)); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("a short secret: %v", err)
	}
	if _, err := NewShared(secret, 0); err == nil {
		t.Error("no period was accepted")
	}
}

func TestKeysOfContexts(t *testing.T) {
	s := Secrets{Previous: Secret{1}, Current: Secret{2}, Next: Secret{3}}
	seen := map[[32]byte]bool{}
	for _, context := range []string{"", "a", "b", "ab"} {
		for _, key := range s.keys(context) {
			if seen[key] {
				t.Fatalf("a key of %q is used twice", context)
			}
			seen[key] = true
		}
	}
	later := Secrets{Previous: s.Current, Current: s.Next}
	if s.keys("a")[0] != later.keys("a")[1] || s.keys("a")[2] != later.keys("a")[0] {
		t.Error("the keys of a period depend on which period it is now")
	}
}
