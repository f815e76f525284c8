package capacity

import (
	"encoding/json"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(8412), "8,410"}, {number(0.523), "0.523"}, {number(1234567), "1,230,000"}, {number(999.6), "1,000"}, {number(100), "100"}, {number(43.26), "43"}, {number(0), "0"},
		{percent(0.0005), "0.05 %"}, {percent(0.021), "2.1 %"}, {percent(0.974), "97 %"}, {percent(0), "0.0 %"},
		{span(15 * time.Millisecond), "15 ms"}, {span(82_345 * time.Nanosecond), "82.3 µs"}, {span(1500 * time.Millisecond), "1.5 s"}, {span(0), "0 µs"},
		{size(1000), "1.0 KiB"}, {size(3 << 20), "3 MiB"}, {size(1.5 * (1 << 30)), "1.5 GiB"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// What is not known is null for programs, never a number.
func TestShareJSON(t *testing.T) {
	text, err := json.Marshal([]Share{0.25, 0, Unknown})
	if err != nil || string(text) != "[0.25,0,null]" {
		t.Errorf("%s, %v", text, err)
	}
}
