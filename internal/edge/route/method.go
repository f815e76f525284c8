package route

// methods is a set of methods, a bit each. The empty set in a route is any method.
type methods uint64

const (
	bitConnect methods = 1 << iota
	bitDelete
	bitGet
	bitHead
	bitOptions
	bitPatch
	bitPost
	bitPut
	bitTrace
)

// knownMethods names the bits above, in their order. A table adds its own behind.
var knownMethods = [...]string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

// bit gives the method's bit; 0 when no route of the table names the method.
func (t *Table) bit(method string) methods {
	switch method {
	case "GET":
		return bitGet
	case "POST":
		return bitPost
	case "HEAD":
		return bitHead
	case "PUT":
		return bitPut
	case "DELETE":
		return bitDelete
	case "PATCH":
		return bitPatch
	case "OPTIONS":
		return bitOptions
	case "CONNECT":
		return bitConnect
	case "TRACE":
		return bitTrace
	}
	return t.ownMethods[method]
}

// How well a set fits a method; the third question of the rule.
const (
	fitNone = iota
	fitAny
	fitHeadAsGet // RFC 9110 section 9.3.2: HEAD is GET without the content
	fitListed
)

func (s methods) fit(bit methods) int {
	switch {
	case s == 0:
		return fitAny
	case s&bit != 0:
		return fitListed
	case bit == bitHead && s&bitGet != 0:
		return fitHeadAsGet
	}
	return fitNone
}

// ties tells whether some method fits both sets equally well.
func (s methods) ties(other methods) bool {
	return s&other != 0 || s == 0 && other == 0
}

// appendMethods appends the set's names in alphabetical order, as in Allow.
func (t *Table) appendMethods(dst []byte, s methods) []byte {
	from := len(dst)
	for _, m := range t.methodOrder {
		if s&m.bit != 0 {
			if len(dst) > from {
				dst = append(dst, ", "...)
			}
			dst = append(dst, m.name...)
		}
	}
	return dst
}

// namedMethod is an entry of the table's list of methods, in alphabetical order.
type namedMethod struct {
	name string
	bit  methods
}
