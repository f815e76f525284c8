package fault

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"regexp"
	"testing"
)

var word = regexp.MustCompile("^[a-z]+(_[a-z]+)*$")

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if !word.MatchString(k.Word) || seen[k.Word] {
			t.Errorf("%q is not a word of its own", k.Word)
		}
		seen[k.Word] = true
		if k.Side < Client || k.Side > Upstream {
			t.Errorf("%s: nobody's fault", k.Word)
		}
		if k.Title == "" || k.Detail == "" || k.Detail[len(k.Detail)-1] != '.' {
			t.Errorf("%s: the client is told %q, %q", k.Word, k.Title, k.Detail)
		}
		if k.Status != 0 && http.StatusText(k.Status) == "" {
			t.Errorf("%s: there is no status %d", k.Word, k.Status)
		}
		if k.Code == OK {
			t.Errorf("%s: gRPC would take it for a success", k.Word)
		}
		switch k.Side {
		case Client:
			if k.Status >= 500 && k.Status != 501 && k.Status != 503 && k.Status != 505 {
				t.Errorf("%s: status %d for a fault of the client", k.Word, k.Status)
			}
		default:
			if k.Status < 500 {
				t.Errorf("%s: status %d, and the client did nothing wrong", k.Word, k.Status)
			}
		}
		if k.Status == 0 && !k.Close {
			t.Errorf("%s: no answer, and the connection goes on", k.Word)
		}
	}
}

// Every kind that is declared is listed, or metrics would not know it.
func TestKindsAreListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.UnaryExpr); ok {
			if made, ok := literal.X.(*ast.CompositeLit); ok {
				if name, ok := made.Type.(*ast.Ident); ok && name.Name == "Kind" {
					declared++
				}
			}
		}
		return true
	})
	if listed := len(Kinds()); declared != listed || listed == 0 {
		t.Errorf("%d kinds are declared, %d are listed", declared, listed)
	}
}

// What cannot be told apart from a next request must not be followed by one.
func TestDecodeFaultsClose(t *testing.T) {
	for _, k := range []*Kind{Malformed, Framing, BadHost, LineTooLong, HeaderTooLarge, BodyTooLarge, UnknownCoding, BadVersion, BadExpectation, NoTunnel, HeaderTimeout, BodyTimeout} {
		if !k.Close {
			t.Errorf("%s leaves the connection open", k.Word)
		}
	}
}

func TestFault(t *testing.T) {
	f := At(UpstreamReset, MaybeProcessed, io.ErrUnexpectedEOF)
	if got := f.Error(); got != "upstream_reset: unexpected EOF" {
		t.Errorf("the operator is told %q", got)
	}
	if !errors.Is(f, io.ErrUnexpectedEOF) || f.Phase != MaybeProcessed {
		t.Errorf("cause and phase are lost: %+v", f)
	}
	if got := f.Told(); got != UpstreamReset.Detail {
		t.Errorf("the client is told %q", got)
	}
	f.Detail = "Another sentence."
	if got := f.Told(); got != f.Detail {
		t.Errorf("the client is told %q", got)
	}
	if got := New(Internal, nil).Error(); got != "internal" {
		t.Errorf("the operator is told %q", got)
	}
}

func TestWords(t *testing.T) {
	for i, want := range []string{"none", "client", "gateway", "upstream"} {
		if got := Side(i).String(); got != want {
			t.Errorf("side %d is %q, want %q", i, got, want)
		}
	}
	for i, want := range []string{"not connected", "not sent", "maybe processed", "answered", "response begun"} {
		if got := Phase(i).String(); got != want {
			t.Errorf("phase %d is %q, want %q", i, got, want)
		}
	}
}
