package document

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Scalar is a type written as one word. A pointer to the type implements it.
type Scalar interface {
	// ParseText sets the value. The error completes the sentence `found "5", …`, as in "which has no unit".
	ParseText(text string) error
	// Form says how the type is written; it does not depend on the value.
	Form() Form
	// String writes the value as ParseText reads it.
	String() string
}

// Form says how a scalar is written.
type Form struct {
	Noun    string // with its article and examples: "a duration such as 5s, 250ms or 1h30m"
	Type    string // one word for the reference: duration
	Pattern string // a regular expression, anchored, in the common subset of Go and ECMA 262
	Number  bool   // whole numbers are fine too
	Zero    bool   // the plain number 0 is fine too
}

// ordinal is implemented by scalars that a range tag may bound.
type ordinal interface{ ordinal() float64 }

// Duration is a length of time written with units: 5s, 250ms, 1h30m. Units are us, ms, s, m and h. The plain
// number 0 needs none. There are no negative durations.
type Duration time.Duration

func (d Duration) Std() time.Duration { return time.Duration(d) }
func (d Duration) ordinal() float64   { return float64(d) }

// String writes the fewest units: 1m30s, 5s, 250ms, 0s.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, u := range durationUnits {
		if n := rest / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.size
		}
	}
	if rest > 0 || b.Len() == 0 {
		return time.Duration(d).String() // below a microsecond; not made by ParseText
	}
	return b.String()
}

var durationUnits = []struct {
	name string
	size time.Duration
}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}}

func (*Duration) Form() Form {
	return Form{Noun: "a duration such as 5s, 250ms or 1h30m", Type: "duration",
		Pattern: `^(0|([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+)$`, Zero: true}
}

func (d *Duration) ParseText(text string) error {
	if text == "0" {
		*d = 0
		return nil
	}
	var total float64
	for rest := text; ; {
		number, unit, after, err := leading(rest)
		if err != nil {
			return err
		}
		var size time.Duration
		var names []string
		for _, u := range durationUnits {
			if u.name == unit {
				size = u.size
			}
			names = append(names, u.name)
		}
		switch {
		case unit == "":
			return errors.New("which has no unit")
		case size == 0:
			return unknownUnit(unit, names, map[string]string{
				"sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m",
				"minutes": "m", "hour": "h", "hours": "h", "hr": "h", "µs": "us", "msec": "ms", "millis": "ms"})
		}
		total += number * float64(size)
		if rest = after; rest == "" {
			break
		}
	}
	if total > float64(100*365*24*time.Hour) {
		return errors.New("which is longer than a hundred years")
	}
	*d = Duration(time.Duration(math.Round(total/1e3)) * time.Microsecond)
	return nil
}

// Size is a number of bytes: 4096, 64KiB, 10MB. Powers of 1024 end in iB, powers of 1000 in B.
type Size int64

func (s Size) ordinal() float64 { return float64(s) }

// String writes the largest binary unit that divides the size, else bytes: 64KiB, 240.
func (s Size) String() string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if u := sizeUnits[i]; strings.HasSuffix(u.name, "iB") && s != 0 && int64(s)%u.size == 0 {
			return strconv.FormatInt(int64(s)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var sizeUnits = []struct {
	name string
	size int64
}{{"B", 1}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

func (*Size) Form() Form {
	return Form{Noun: "a size such as 64KiB, 10MB or a plain number of bytes", Type: "size",
		Pattern: `^[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`, Number: true}
}

func (s *Size) ParseText(text string) error {
	number, unit, after, err := leading(text)
	switch {
	case err != nil:
		return err
	case after != "":
		return errors.New("which is no single number with a unit")
	}
	size := int64(0)
	var names []string
	for _, u := range sizeUnits {
		if u.name == unit {
			size = u.size
		}
		names = append(names, u.name)
	}
	if unit == "" {
		size = 1
	}
	if size == 0 {
		return unknownUnit(unit, names, map[string]string{"k": "KiB", "K": "KiB", "m": "MiB", "M": "MiB", "g": "GiB", "G": "GiB",
			"kb": "KiB", "mb": "MiB", "gb": "GiB", "kib": "KiB", "mib": "MiB", "gib": "GiB", "b": "B"})
	}
	bytes := number * float64(size)
	switch {
	case bytes > 1<<53:
		return errors.New("which is more than 8192TiB")
	case bytes != math.Trunc(bytes):
		return errors.New("which is no whole number of bytes")
	}
	*s = Size(bytes)
	return nil
}

// Rate is a number of events in a time: 100/s, 10/m, 5/h, 0.5/s, 1000/d. The time is one second, minute, hour
// or day.
type Rate struct {
	Count float64
	Per   time.Duration
}

// PerSecond is the rate in events a second.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}
func (r Rate) ordinal() float64 { return r.PerSecond() }

func (r Rate) String() string {
	count := strconv.FormatFloat(r.Count, 'f', -1, 64)
	for _, u := range rateUnits {
		if u.size == r.Per {
			return count + "/" + u.name
		}
	}
	return count + "/s"
}

var rateUnits = []struct {
	name string
	size time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

func (*Rate) Form() Form {
	return Form{Noun: "a rate such as 100/s, 10/m or 0.5/s", Type: "rate", Pattern: `^[0-9]+(\.[0-9]+)?/(s|m|h|d)$`}
}

func (r *Rate) ParseText(text string) error {
	count, per, ok := strings.Cut(text, "/")
	if !ok {
		return errors.New("which does not say in what time")
	}
	number, unit, after, err := leading(count)
	switch {
	case err != nil:
		return err
	case unit != "" || after != "":
		return errors.New("which does not start with a plain number")
	case number > 1e12:
		return errors.New("which is too large")
	}
	var names []string
	for _, u := range rateUnits {
		if u.name == per {
			*r = Rate{Count: number, Per: u.size}
			return nil
		}
		names = append(names, u.name)
	}
	return unknownUnit(per, names, map[string]string{"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d"})
}

// Percent is a share: 20% or 0.5%, kept as 20 or 0.5.
type Percent float64

// Fraction is 0.2 for 20%.
func (p Percent) Fraction() float64 { return float64(p) / 100 }
func (p Percent) ordinal() float64  { return float64(p) }
func (p Percent) String() string    { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

func (*Percent) Form() Form {
	return Form{Noun: "a percentage such as 20%", Type: "percentage", Pattern: `^[0-9]+(\.[0-9]+)?%$`}
}

func (p *Percent) ParseText(text string) error {
	number, unit, after, err := leading(text)
	switch {
	case err != nil:
		return err
	case unit == "" && after == "":
		if number > 0 && number < 1 { // most likely a fraction
			return fmt.Errorf("which has no unit; write %s%% for that share of a whole, or %s%%", strconv.FormatFloat(100*number, 'g', 6, 64), text)
		}
		return fmt.Errorf("which has no unit; write %s%%", text)
	case unit != "%" || after != "":
		return errors.New("which does not end in %")
	case number > 1e6:
		return errors.New("which is too large")
	}
	*p = Percent(number)
	return nil
}

// leading splits a decimal number and the unit behind it off text.
func leading(text string) (number float64, unit, after string, err error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	end := digits
	if digits > 0 && end+1 < len(text) && text[end] == '.' && isDigit(text[end+1]) {
		end++
		end += len(text[end:]) - len(strings.TrimLeft(text[end:], "0123456789"))
	}
	switch {
	case text == "":
		return 0, "", "", errors.New("which is empty")
	case digits == 0 && text[0] == '-':
		return 0, "", "", errors.New("which is negative")
	case digits == 0:
		return 0, "", "", errors.New("which does not start with a number")
	case end > 20:
		return 0, "", "", errors.New("which has too many digits")
	}
	number, err = strconv.ParseFloat(text[:end], 64)
	if err != nil {
		return 0, "", "", errors.New("whose number cannot be read")
	}
	rest := text[end:]
	n := strings.IndexAny(rest, "0123456789")
	if n < 0 {
		n = len(rest)
	}
	return number, rest[:n], rest[n:], nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unknownUnit words the slip, and what was probably meant where that is known.
func unknownUnit(unit string, names []string, meant map[string]string) error {
	text := fmt.Sprintf("whose unit %s is none of %s", quote(unit), strings.Join(names, ", "))
	if m := meant[unit]; m != "" {
		text += fmt.Sprintf(" (did you mean %s?)", m)
	}
	return errors.New(text)
}

// Prefix is a network such as 10.0.0.0/8 or a single address. An IPv4 network written as IPv6 is kept as IPv4.
type Prefix struct{ netip.Prefix }

func (*Prefix) Form() Form {
	return Form{Noun: "a network such as 10.0.0.0/8, 2001:db8::/32 or an address", Type: "network", Pattern: `^[0-9a-fA-F:.]+(/[0-9]{1,3})?$`}
}

func (p *Prefix) ParseText(text string) error {
	if !strings.Contains(text, "/") {
		a, err := parseAddr(text)
		if err != nil {
			return err
		}
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	got, err := netip.ParsePrefix(text)
	if err != nil {
		return errors.New("which is no network")
	}
	if a := got.Addr(); a.Is4In6() {
		if got.Bits() < 96 {
			return errors.New("which mixes IPv4 and IPv6")
		}
		got = netip.PrefixFrom(a.Unmap(), got.Bits()-96)
	}
	if got != got.Masked() {
		return fmt.Errorf("which has bits set behind the slash; write %s for the network or %s for the address", got.Masked(), got.Addr())
	}
	p.Prefix = got
	return nil
}

// Addr is an IP address without a port or zone.
type Addr struct{ netip.Addr }

func (*Addr) Form() Form {
	return Form{Noun: "an IP address such as 10.0.0.1 or 2001:db8::1", Type: "IP address", Pattern: `^[0-9a-fA-F:.]+$`}
}

func (a *Addr) ParseText(text string) (err error) {
	a.Addr, err = parseAddr(text)
	return err
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, errors.New("which is no IP address")
	case a.Zone() != "":
		return netip.Addr{}, errors.New("which has a zone; zones are not allowed")
	}
	return a.Unmap(), nil
}
