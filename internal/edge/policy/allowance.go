package policy

import (
	"strconv"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
)

// The fields that tell a client what limits leave it: draft-ietf-httpapi-ratelimit-headers-11, and the ones that were usual before it.
const (
	fieldPolicies = "RateLimit-Policy"
	fieldLeft     = "RateLimit"
	legacyQuota   = "X-RateLimit-Limit"
	legacyLeft    = "X-RateLimit-Remaining"
	legacyReset   = "X-RateLimit-Reset"

	mostInField = 999_999_999_999_999 // RFC 9651 §3.3.1
)

// TellAllowances writes what x.Allowances hold into the response: all limits in RateLimit-Policy, and in RateLimit the one that leaves least. Fields
// of these names that an endpoint sent are replaced, since they are about somebody else's limits. Policies with limits call it in step 9; the
// second of them changes nothing. It does nothing without a response or an allowance.
func TellAllowances(x *exchange.Exchange) {
	if len(x.Allowances) == 0 || !x.Answered() || told(x, fieldLeft) {
		return
	}
	b := x.Scratch()
	for i := range x.Allowances {
		a := &x.Allowances[i]
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendParameter(appendName(b, a), ";q=", a.Quota)
		if a.Window > 0 {
			b = appendParameter(b, ";w=", seconds(a.Window))
		}
	}
	x.Response.Header.SetHeader(fieldPolicies, x.KeepScratch(b))
	a := tightest(x)
	b = appendParameter(appendName(x.Scratch(), a), ";r=", a.Left)
	b = appendParameter(b, ";t=", seconds(a.Reset))
	x.Response.Header.SetHeader(fieldLeft, x.KeepScratch(b))
}

// TellLegacyAllowances writes the limit that leaves least as X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset, which no standard has;
// the last is in seconds from now. Otherwise it is as TellAllowances.
func TellLegacyAllowances(x *exchange.Exchange) {
	if len(x.Allowances) == 0 || !x.Answered() || told(x, legacyLeft) {
		return
	}
	a, h := tightest(x), &x.Response.Header
	h.SetHeader(legacyQuota, x.KeepScratch(appendParameter(x.Scratch(), "", a.Quota)))
	h.SetHeader(legacyLeft, x.KeepScratch(appendParameter(x.Scratch(), "", a.Left)))
	h.SetHeader(legacyReset, x.KeepScratch(appendParameter(x.Scratch(), "", seconds(a.Reset))))
}

// told says whether the response has the field from us: then its name is this very constant, and not a view of what an endpoint sent.
func told(x *exchange.Exchange, name string) bool {
	fields := x.Response.Header.All()
	for i := range fields {
		if f := &fields[i]; len(f.Name) == len(name) && unsafe.StringData(f.Name) == unsafe.StringData(name) {
			return true
		}
	}
	return false
}

// tightest is the allowance that leaves least, and of those that leave the same the one that takes longest to come back.
func tightest(x *exchange.Exchange) *exchange.Allowance {
	least := &x.Allowances[0]
	for i := range x.Allowances {
		if a := &x.Allowances[i]; a.Left < least.Left || a.Left == least.Left && a.Reset > least.Reset {
			least = a
		}
	}
	return least
}

// appendName writes the name of a limit as a string of RFC 9651 §3.3.3; it has nothing that would need an escape.
func appendName(b []byte, a *exchange.Allowance) []byte {
	return append(append(append(b, '"'), a.Name...), '"')
}

func appendParameter(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), max(0, min(n, mostInField)), 10)
}

// seconds rounds up, so that nobody who waits for as long is too early.
func seconds(nanos int64) int64 {
	whole := nanos / 1e9
	if nanos%1e9 > 0 {
		whole++
	}
	return whole
}
