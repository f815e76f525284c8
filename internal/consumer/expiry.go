package consumer

import (
	"fmt"
	"math"
	"time"
)

// ParseExpires reads until when a credential is good: a day, to its end in UTC (2027-01-31), or a time (RFC 3339, such as
// 2027-01-31T12:00:00Z). It gives seconds since 1970, the first at which the credential is good no more. Fractions of a second do not count.
func ParseExpires(text string) (int64, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err == nil {
		at = at.AddDate(0, 0, 1)
	} else if at, err = time.Parse(time.RFC3339, text); err != nil {
		return 0, fmt.Errorf("found %.40q; allowed: a day (2027-01-31, to its end in UTC) or a time (2027-01-31T12:00:00Z)", text)
	}
	return at.Unix(), checkExpires(at.Unix())
}

// checkExpires keeps to what 32 bits can say. 0 is never.
func checkExpires(at int64) error {
	if at < 0 || at > math.MaxUint32 {
		return fmt.Errorf("found an end in %d; allowed: 1970 to 2105", time.Unix(at, 0).UTC().Year())
	}
	return nil
}
