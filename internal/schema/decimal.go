package schema

import (
	"math/big"
	"strings"
)

// The bounds of a number. One that goes over them is judged as one that no schema takes.
const (
	maxDigits   = 256
	maxExponent = 4096
)

// decimal is a number as JSON writes it: digits times ten to the power of exp, without zeros at either end of digits. It is 0 without digits.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

// parseDecimal reads a good JSON number. ok is false for one that is too large to be worth it.
func parseDecimal(text string) (d decimal, ok bool) {
	if len(text) > maxDigits {
		return d, false
	}
	text, d.negative = strings.CutPrefix(text, "-")
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exp, sign := text[at+1:], 1
		if exp[0] == '-' {
			sign = -1
		}
		n := 0
		for _, c := range strings.TrimLeft(exp, "+-") {
			if n = n*10 + int(c-'0'); n > maxExponent {
				return d, false
			}
		}
		d.exp, text = sign*n, text[:at]
	}
	if whole, part, is := strings.Cut(text, "."); is {
		text = whole + part
		d.exp -= len(part)
	}
	short := strings.TrimRight(text, "0")
	d.exp += len(text) - len(short)
	if d.digits = strings.TrimLeft(short, "0"); d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// decimalOf is a bound of a schema.
func decimalOf(r *big.Rat) (decimal, bool) {
	places, exact := r.FloatPrec()
	if !exact {
		return decimal{}, false
	}
	return parseDecimal(r.FloatString(places))
}

func (d decimal) whole() bool { return d.exp >= 0 }

// compare is below, at or above 0 as a is less than, equal to or more than b.
func (d decimal) compare(b decimal) int {
	switch {
	case d == b:
		return 0
	case d.digits == "":
		return b.sign(-1)
	case b.digits == "" || d.negative != b.negative:
		return d.sign(1)
	}
	if x, y := len(d.digits)+d.exp, len(b.digits)+b.exp; x != y {
		if x > y {
			return d.sign(1)
		}
		return d.sign(-1)
	}
	return d.sign(strings.Compare(d.digits, b.digits)) // a digit more is larger, as neither ends in zeros
}

// sign turns n round for a number below 0.
func (d decimal) sign(n int) int {
	if d.negative {
		return -n
	}
	return n
}

// multipleOf says whether d divided by b is whole.
func (d decimal) multipleOf(b decimal) bool {
	if d.digits == "" {
		return true
	}
	if b.digits == "" {
		return false
	}
	x, _ := new(big.Int).SetString(d.digits, 10)
	y, _ := new(big.Int).SetString(b.digits, 10)
	if up := d.exp - b.exp; up > 0 {
		x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(up)), nil))
	} else {
		y.Mul(y, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-up)), nil))
	}
	return x.Rem(x, y).Sign() == 0
}
