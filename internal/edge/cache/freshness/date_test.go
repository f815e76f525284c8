package freshness

import (
	"testing"
	"time"
)

// RFC 9110 §5.6.7.
func TestParseDate(t *testing.T) {
	now := start.Unix()
	unix := func(y int, m time.Month, d, h, mi, s int) int64 {
		return time.Date(y, m, d, h, mi, s, 0, time.UTC).Unix()
	}
	for _, test := range []struct {
		s    string
		want int64
	}{
		{"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
		{"Sun Nov  6 08:49:37 1994", 784111777},
		{"Sun Nov 16 08:49:37 1994", unix(1994, 11, 16, 8, 49, 37)},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Wed, 31 Dec 1969 23:59:59 GMT", -1},
		{"Sat, 01 Jan 0000 00:00:00 GMT", unix(0, 1, 1, 0, 0, 0)},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
		{"Thu, 29 Feb 2024 00:00:00 GMT", unix(2024, 2, 29, 0, 0, 0)},
		{"Tue, 29 Feb 2000 00:00:00 GMT", unix(2000, 2, 29, 0, 0, 0)},
		{"Fri, 30 Jun 2028 23:59:60 GMT", unix(2028, 6, 30, 23, 59, 59)},
		{"Mon, 18 Aug 2050 02:01:18 GMT", unix(2050, 8, 18, 2, 1, 18)}, // a Thursday: not compared
		{"Thursday, 18-Aug-50 02:01:18 GMT", unix(2050, 8, 18, 2, 1, 18)},
		{"Sunday, 22-Nov-76 06:00:00 GMT", unix(2076, 11, 22, 6, 0, 0)}, // 50 years ahead
		{"Wednesday, 23-Dec-76 06:00:00 GMT", unix(1976, 12, 23, 6, 0, 0)},
		{"Tuesday, 29-Feb-00 00:00:00 GMT", unix(2000, 2, 29, 0, 0, 0)},
	} {
		if got, ok := ParseDate(test.s, now); !ok || got != test.want {
			t.Errorf("%q: %d %v, not %d", test.s, got, ok, test.want)
		}
	}
	for _, wrong := range []string{
		"", "0", "-1", "foo", "Thu, 18 Aug 2050 02:01:18 UTC", "Thu, 18 Aug 2050 02:01:18 AEST", "Thu, 18 Aug 50 02:01:18 GMT", "Thu 18 Aug 2050 02:01:18 GMT",
		"Thu, 18  Aug  2050 02:01:18 GMT", "Thu, 18-Aug-2050 02:01:18 GMT", "Thu, 18 Aug 2050 02.01.18 GMT", "Thu, 18 Aug 2050 2:01:18 GMT", "THU, 18 Aug 2050 02:01:18 GMT",
		"Thu, 18 AUG 2050 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 gMT", "Thu, 18 Aug 2050 02:01:18 +0000", "Thu, 18 Aug 2050 24:01:18 GMT", "Thu, 18 Aug 2050 02:60:18 GMT",
		"Thu, 18 Aug 2050 02:01:61 GMT", "Thu, 31 Jun 2050 02:01:18 GMT", "Thu, 29 Feb 2023 02:01:18 GMT", "Thu, 29 Feb 1900 02:01:18 GMT", "Thu, 00 Aug 2050 02:01:18 GMT",
		"Thu, 18 Aug 2050 02:01:18 GMT ", " Thu, 18 Aug 2050 02:01:18 GMT", "Thu, 18 Aug -050 02:01:18 GMT", "Thu, 18 Aug 2050 -2:01:18 GMT", "Thx, 18 Aug 2050 02:01:18 GMT",
		"Sunday 06-Nov-94 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06 Nov 94 08:49:37 GMT", "Sunday, 31-Nov-94 08:49:37 GMT", "Sunday, 29-Feb-23 08:49:37 GMT",
		"Sun Nov 06 08:49:37 94", "Sun Nov  6 08:49:37 199", "Sun Nov 6 08:49:37 1994", "Sun Nov   08:49:37 1994 ", "Sun Xov  6 08:49:37 1994", "Sunday, 06-Nov-9x 08:49:37 GMT",
	} {
		if got, ok := ParseDate(wrong, now); ok {
			t.Errorf("%q is a date: %d", wrong, got)
		}
	}
}

// Every day for 500 years, as the standard library has it.
func TestDays(t *testing.T) {
	var b []byte
	for d := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2470; d = d.Add(86400*time.Second + 12345*time.Millisecond) {
		want := d.Format("Mon, 02 Jan 2006 15:04:05 GMT")
		b = AppendDate(b[:0], d.Unix())
		if got, ok := ParseDate(want, 0); string(b) != want || !ok || got != d.Unix() {
			t.Fatalf("%s: written %s, read %d %v, not %d", want, b, got, ok, d.Unix())
		}
	}
}

func TestParseSeconds(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1": 1, "0060": 60, "2147483648": MaxSeconds, "2147483649": MaxSeconds, "9223372036854775808": MaxSeconds,
		"99999999999999999999999999": MaxSeconds} {
		if got, ok := parseSeconds(s); !ok || got != want {
			t.Errorf("%q: %d %v", s, got, ok)
		}
	}
	for _, wrong := range []string{"", " 1", "1 ", "-1", "+1", "1.0", "1e3", "0x1", "1,2", "١"} {
		if got, ok := parseSeconds(wrong); ok {
			t.Errorf("%q: %d", wrong, got)
		}
	}
}
