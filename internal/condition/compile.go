package condition

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// The bounds of an expression.
const (
	// MaxBytes is the longest text.
	MaxBytes = 4 << 10
	// MaxCost is how much one judgement may cost, in CEL's units: about one for each step, and one for each ten bytes of text gone over.
	// Ten thousand take in the order of a millisecond.
	MaxCost = 100_000
	// MaxValue is the longest header field or query parameter that is judged, in bytes. A longer one makes the judgement fail.
	MaxValue = 8 << 10

	maxDepth   = 32  // of nesting
	maxPattern = 256 // bytes of a regular expression
	maxProgram = 512 // instructions a regular expression compiles to
)

// Condition is a compiled expression. It is immutable and may be used by many exchanges at once.
type Condition struct {
	program cel.Program
}

// Error is what is wrong with an expression, and where.
type Error struct {
	Line, Column int // in the text, from 1; columns count characters
	Text         string
}

// Error gives the text without the place, which is of use only together with the place of the expression itself.
func (e *Error) Error() string { return e.Text }

// Compile makes a Condition. The error is an *Error. It takes some milliseconds and is for the time a configuration is loaded.
func Compile(text string) (*Condition, error) {
	if len(text) > MaxBytes {
		return nil, &Error{1, 1, fmt.Sprintf("the expression has %d bytes; at most %d are allowed", len(text), MaxBytes)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &Error{1, 1, "the expression is empty; write one that is true or false"}
	}
	env, err := environment()
	if err != nil {
		return nil, &Error{1, 1, "BUG: " + err.Error()}
	}
	compiled, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, first(text, issues.Errors())
	}
	if compiled.OutputType() != cel.BoolType {
		return nil, &Error{1, 1, fmt.Sprintf("the expression is of type %s; it has to be true or false: compare it with something, such as == true", compiled.OutputType())}
	}
	if err := inspect(compiled.NativeRep()); err != nil {
		return nil, err
	}
	estimate, err := env.EstimateCost(compiled, sizes{})
	if err != nil {
		return nil, &Error{1, 1, err.Error()}
	}
	if estimate.Max > MaxCost {
		return nil, &Error{1, 1, fmt.Sprintf("the expression could take more than the %d steps that are allowed; nest fewer loops, and go over shorter lists and texts", MaxCost)}
	}
	program, err := env.Program(compiled, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MaxCost))
	if err != nil {
		return nil, &Error{1, 1, err.Error()}
	}
	return &Condition{program}, nil
}

// environment is what every expression is compiled in. It is made once, since it takes milliseconds, and does not change.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(MaxBytes),
		cel.RegexProgramSizeLimit(maxProgram),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		ext.Strings(),
		cel.Function("ip_in", cel.Overload("ip_in_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(ipIn))),
	}
	for v := range numVariables {
		options = append(options, cel.Variable(v.String(), v.kind()))
	}
	return cel.NewEnv(options...)
})

// ipIn says whether an address lies in a network.
func ipIn(address, network ref.Val) ref.Val {
	text, ok := address.(types.String)
	within, ok2 := network.(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(address)
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return types.NewErr("ip_in: not an address")
	}
	prefix, err := netip.ParsePrefix(string(within))
	if err != nil {
		return types.NewErr("ip_in: not a network")
	}
	return types.Bool(prefix.Contains(addr.Unmap().WithZone("")))
}

// growing are functions of the library of strings whose results can be much longer than all they are given.
var growing = []string{"replace", "join", "format", "strings.quote"}

// inspect refuses what the types allow and a gateway does not.
func inspect(tree *ast.AST) error {
	var found *Error
	refuse := func(e ast.Expr, format string, args ...any) {
		at := tree.SourceInfo().GetStartLocation(e.ID())
		one := &Error{max(at.Line(), 1), max(at.Column()+1, 1), fmt.Sprintf(format, args...)}
		if found == nil || one.Line < found.Line || one.Line == found.Line && one.Column < found.Column {
			found = one
		}
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		args := call.Args()
		switch name := call.FunctionName(); {
		case slices.Contains(growing, name):
			refuse(e, "%s is not available here, since it can make a text as long as it likes", strings.TrimPrefix(name, "strings."))
		case name == "matches":
			pattern := args[len(args)-1]
			text, ok := literal(pattern)
			switch {
			case !ok:
				refuse(pattern, "the pattern of matches has to be written out as a text in quotes")
			case len(text) > maxPattern:
				refuse(pattern, "the pattern of matches has %d bytes; at most %d are allowed", len(text), maxPattern)
			}
		case name == "ip_in":
			text, ok := literal(args[1])
			if !ok {
				refuse(args[1], "the network of ip_in has to be written out as a text in quotes, such as \"10.0.0.0/8\"")
				return
			}
			prefix, err := netip.ParsePrefix(text)
			switch {
			case err != nil:
				refuse(args[1], "%q is not a network; write one such as \"10.0.0.0/8\" or \"2001:db8::/32\"", text)
			case prefix.Masked() != prefix:
				refuse(args[1], "%q has bits beyond its length; write %q", text, prefix.Masked())
			case prefix.Addr().Is4In6():
				refuse(args[1], "%q holds IPv4 addresses written as IPv6; write them as IPv4", text)
			}
		}
	}))
	if found != nil {
		return found
	}
	return nil
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// first is the mistake that stands first in the text.
func first(text string, all []*common.Error) *Error {
	if len(all) == 0 {
		return &Error{1, 1, "cannot be compiled"}
	}
	e := slices.MinFunc(all, func(a, b *common.Error) int {
		if a.Location.Line() != b.Location.Line() {
			return a.Location.Line() - b.Location.Line()
		}
		return a.Location.Column() - b.Location.Column()
	})
	line, column := max(e.Location.Line(), 1), max(e.Location.Column()+1, 1)
	message := strings.ReplaceAll(strings.TrimSpace(e.Message), "\n", " ")
	message = strings.ReplaceAll(message, " (in container '')", "")
	if strings.HasPrefix(message, "Syntax error: token recognition error at: '=") {
		message = "a single = means nothing here; write == to compare"
	}
	if rest, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		var call bool
		column, call = start(text, line, column, name)
		message = undeclared(name, call)
	}
	return &Error{line, column, message}
}

// start is the column where a name begins that means nothing, and whether it is called: of what a dot selects and of what is called, the
// compiler tells the place of the dot and of the parenthesis.
func start(text string, line, column int, name string) (from int, call bool) {
	for ; line > 1; line-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	at := 0
	for n := 1; n < column && at < len(text); n++ {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	if strings.HasPrefix(text[at:], name) {
		return column, false
	}
	begin := at
	for begin > 0 && partOfName(text[begin-1]) {
		begin--
	}
	return column - (at - begin), at < len(text) && text[at] == '('
}

func partOfName(c byte) bool {
	return c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// undeclared says what there is instead of a name that means nothing.
func undeclared(name string, call bool) string {
	if call {
		return fmt.Sprintf("there is no function %q here", name)
	}
	if meant := nearest(name); meant != "" {
		return fmt.Sprintf("there is no %q; did you mean %s?", name, meant)
	}
	group, _, _ := strings.Cut(name, ".")
	var near []string
	for _, v := range names {
		if strings.HasPrefix(v, group+".") {
			near = append(near, v)
		}
	}
	if near == nil {
		near = names[:]
	}
	return fmt.Sprintf("there is no %q; there are %s", name, strings.Join(near, ", "))
}

// nearest is the variable that at most two letters make of a name, in any case; empty when there is none.
func nearest(name string) string {
	best, meant := 3, ""
	for _, v := range names {
		if n := letters(strings.ToLower(name), v); n < best {
			best, meant = n, v
		}
	}
	return meant
}

// letters is how many letters have to be changed, added or left out to make one word of another.
func letters(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0] // of the row before
		row[0] = i + 1
		for j := range len(b) {
			n := last
			if a[i] != b[j] {
				n = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], n
		}
	}
	return row[len(b)]
}

// sizes tell the estimate how long things can be. Claims are no longer than the token they came in; the rest is bounded by what a
// listener takes.
type sizes struct{}

// EstimateCallCost implements cost.Estimator: that of ip_in is that of reading both texts.
func (sizes) EstimateCallCost(function, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	upTo := func(n uint64) cost.SizeEstimate { return cost.SizeEstimate{Max: n} }
	path := node.Path()
	if len(path) == 0 {
		return nil
	}
	var size cost.SizeEstimate
	v, known := variables[path[0]]
	switch {
	case !known:
		return nil
	case len(path) > 1 && v == authClaims:
		size = upTo(longestClaim)
	case len(path) > 1 && path[1] == "@keys":
		size = upTo(longestName)
	case len(path) > 1 && v == requestHeaders || len(path) > 1 && v == requestQuery:
		size = upTo(MaxValue)
	case len(path) > 1:
		size = upTo(longestName)
	case v == requestHeaders || v == requestQuery:
		size = cost.MapSizeEstimate(upTo(mostFields), upTo(longestName), upTo(MaxValue))
	case v == authClaims:
		size = cost.MapSizeEstimate(upTo(mostFields), upTo(longestName), upTo(longestClaim))
	case v == ConsumerGroups || v == ConsumerTags || v == AuthScopes:
		size = cost.ListSizeEstimate(upTo(mostFields), upTo(longestName))
	case v == RequestPath:
		size = upTo(MaxValue)
	default:
		size = upTo(longestName)
	}
	return &size
}

// What the estimate reckons with.
const (
	mostFields   = 100 // fields, parameters, claims, groups, scopes
	longestName  = 256
	longestClaim = 1024 // bytes of a text, items of a list
)
