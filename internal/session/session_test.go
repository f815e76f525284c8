package session

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	one = [32]byte{1}
	two = [32]byte{2}
)

func TestSealed(t *testing.T) {
	s := New(one)
	text := s.Seal("session cookie client", []byte("the content"))
	if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%q would not stand in a cookie", text)
	}
	if got, ok := s.Open("session cookie client", text); !ok || string(got) != "the content" {
		t.Errorf("opened %q, %v", got, ok)
	}
	if again := s.Seal("session cookie client", []byte("the content")); again == text {
		t.Error("sealed twice, the same text came out")
	}
	for what, open := range map[string]func() ([]byte, bool){
		"another purpose": func() ([]byte, bool) { return s.Open("attempt cookie client", text) },
		"another key":     func() ([]byte, bool) { return New(two).Open("session cookie client", text) },
		"cut":             func() ([]byte, bool) { return s.Open("session cookie client", text[:len(text)-1]) },
		"longer":          func() ([]byte, bool) { return s.Open("session cookie client", text+"A") },
		"nothing":         func() ([]byte, bool) { return s.Open("session cookie client", "") },
		"huge":            func() ([]byte, bool) { return s.Open("session cookie client", strings.Repeat("A", 1<<20)) },
	} {
		if got, ok := open(); ok {
			t.Errorf("%s: opened %q", what, got)
		}
	}
}

// No bit can be changed, those that base64 does not use among them.
func TestTampered(t *testing.T) {
	s := New(one)
	text := []byte(s.Seal("b", []byte("0123456789")))
	for i := range text {
		for _, c := range []byte("AZaz09-_=+/. \n\x00") {
			was := text[i]
			if c == was {
				continue
			}
			text[i] = c
			if _, ok := s.Open("b", string(text)); ok {
				t.Errorf("opened with %q at %d", c, i)
			}
			text[i] = was
		}
	}
}

func TestOlderKey(t *testing.T) {
	text := New(one).Seal("b", []byte("x"))
	if _, ok := New(two, one).Open("b", text); !ok {
		t.Error("an older key does not open what it sealed")
	}
	if _, ok := New(one).Open("b", New(two, one).Seal("b", []byte("x"))); ok {
		t.Error("the older key still seals")
	}
}

func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, number := rapid.String(), rapid.Int64()
		s := Session{ID: text.Draw(t, "id"), Created: number.Draw(t, "created"), Seen: number.Draw(t, "seen"), TokenExpires: number.Draw(t, "expires"), RenewAt: number.Draw(t, "renew"),
			Scope: text.Draw(t, "scope"), Claims: text.Draw(t, "claims"), IDToken: text.Draw(t, "id token"), Access: text.Draw(t, "access"), Refresh: text.Draw(t, "refresh")}
		b := s.Append(nil)
		if got, ok := ReadSession(b); !ok || *got != s {
			t.Fatalf("got %+v, %v, want %+v", got, ok, s)
		}
		for n := range b {
			if _, ok := ReadSession(b[:n]); ok {
				t.Fatalf("read %d of %d bytes", n, len(b))
			}
		}
		a := Attempt{Created: number.Draw(t, "created"), State: text.Draw(t, "state"), Nonce: text.Draw(t, "nonce"), Verifier: text.Draw(t, "verifier"), Return: text.Draw(t, "return")}
		if got, ok := ReadAttempt(a.Append(nil)); !ok || *got != a {
			t.Fatalf("got %+v, %v, want %+v", got, ok, a)
		}
		if _, ok := ReadSession(a.Append(nil)); ok {
			t.Fatal("an attempt was read as a session")
		}
		if _, ok := ReadSession(append(b, 0)); ok {
			t.Fatal("a byte too many was let through")
		}
	})
}

func TestPieces(t *testing.T) {
	for _, size := range []int{0, 1, PieceSize - 2, PieceSize - 1, 2*PieceSize - 2, 2*PieceSize - 1, MaxPieces*PieceSize - 2} {
		text := strings.Repeat("x", size)
		pieces, err := Split(text)
		if err != nil {
			t.Fatal(err)
		}
		var p Pieces
		for i, piece := range pieces {
			if len(piece) > PieceSize {
				t.Errorf("%d bytes: a piece of %d", size, len(piece))
			}
			if !p.Take("c", PieceName("c", i), piece) {
				t.Fatal("not taken")
			}
			if p.Take("c", PieceName("c", i), "later"); p.piece[i] != piece {
				t.Error("the second of one name counts")
			}
		}
		for i := len(pieces); i < MaxPieces; i++ {
			p.Take("c", PieceName("c", i), "of an older text")
		}
		if got, ok := p.Text(); !ok || got != text {
			t.Errorf("%d bytes: got %d, %v", size, len(got), ok)
		}
		for i := range pieces {
			less := p
			less.piece[i], less.shown[i] = "", false
			if _, ok := less.Text(); ok {
				t.Errorf("%d bytes: put together without piece %d", size, i)
			}
		}
	}
	if _, err := Split(strings.Repeat("x", MaxPieces*PieceSize-1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too much: %v", err)
	}
	for _, cookie := range []string{"", "d", "c-", "c-0", "c-4", "c-11", "c1", "C", "c-login-1"} {
		var p Pieces
		if p.Take("c", cookie, "1.x") || p.Any() {
			t.Errorf("%q was taken for a piece", cookie)
		}
	}
	for _, first := range []string{"", "1", "x", "0.x", "5.x", "9.x", "1x", ".x", "2.x"} {
		p := Pieces{piece: [MaxPieces]string{first}, shown: [MaxPieces]bool{true}}
		if text, ok := p.Text(); ok {
			t.Errorf("%q gave %q", first, text)
		}
	}
}

func TestWithout(t *testing.T) {
	ours := func(name string) bool { return name == "s" || name == "s-1" }
	for field, want := range map[string]string{
		"":                       "",
		"a=1":                    "a=1",
		"s=1":                    "",
		"s=1; a=2":               "a=2",
		"a=1; s=2; b=3; s-1=4":   "a=1; b=3",
		"a=1;s=2;b=3":            "a=1; b=3",
		"sa=1; as=2; S=3":        "sa=1; as=2; S=3",
		" s = 1 ; a=\"x y\"; ;b": `a="x y"; b`,
	} {
		if got, changed := Without(field, ours); got != want || changed != (got != field) {
			t.Errorf("%q: got %q, %v, want %q", field, got, changed, want)
		}
	}
}

func TestLine(t *testing.T) {
	if got, want := Line("__Host-x", "v", 600, true), "__Host-x=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Line("x", "", 0, false); strings.Contains(got, "Secure") || !strings.Contains(got, "Max-Age=0") {
		t.Errorf("got %q", got)
	}
}

func FuzzOpen(f *testing.F) {
	s := New(one, two)
	record := (&Session{ID: "x"}).Append(nil)
	good := New(two).Seal("b", record)
	f.Add("1." + good)
	f.Add("4." + strings.Repeat("A", 5000))
	f.Add("1." + good[:9] + "\n" + good[9:])
	f.Fuzz(func(t *testing.T, value string) {
		var p Pieces
		Each("c="+value, func(name, v string) { p.Take("c", name, v) })
		text, _ := p.Text()
		if content, ok := s.Open("b", text); ok && (text != strings.TrimSpace(text) || strings.ContainsAny(text, "\r\n") || !bytes.Equal(content, record)) {
			t.Errorf("opened %q to %q", text, content)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add((&Session{ID: "x", Created: 1}).Append(nil))
	f.Add((&Attempt{State: "x"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := ReadSession(b); ok {
			if again, ok := ReadSession(s.Append(nil)); !ok || *again != *s {
				t.Error("a session reads differently once written")
			}
		}
		if a, ok := ReadAttempt(b); ok && !bytes.Contains(b, []byte(a.State)) {
			t.Error("a state came from nowhere")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := New(one)
	text := s.Seal("b", bytes.Repeat([]byte("x"), 2000))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Open("b", text); !ok {
			b.Fatal("not opened")
		}
	}
}
