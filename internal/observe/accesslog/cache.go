package accesslog

import "straum.dev/straum/internal/edge/exchange"

// appendCached appends what the cache had to do with an exchange.
func appendCached(b []byte, c *exchange.Cached) []byte {
	b = append(b, `,"cache":"`...)
	b = append(b, c.Outcome.String()...)
	b = append(b, '"')
	if c.Age > 0 {
		b = appendNumber(b, `,"cache_age":`, c.Age)
	}
	b = appendString(b, `,"cache_why":"`, c.Why, roomWord)
	if c.Collapsed {
		b = append(b, `,"collapsed":true`...)
	}
	return b
}
