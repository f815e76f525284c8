package freshness

// parseSeconds reads delta-seconds (RFC 9111 §1.2.2): digits alone. More than MaxSeconds is MaxSeconds.
func parseSeconds(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		if n = n*10 + int64(c); n > MaxSeconds {
			n = MaxSeconds
		}
	}
	return n, true
}

// ParseDate reads a date (RFC 9110 §5.6.7) as Unix seconds: an IMF-fixdate, or one of the two obsolete forms. Nothing else is a date: other zones,
// other spellings, days that do not exist. The day of the week is not compared with the date. now, in Unix seconds, tells what century two digits
// mean: a date more than 50 years after it was in the century before. A leap second counts as the second before.
func ParseDate(s string, now int64) (int64, bool) {
	switch {
	case len(s) == 29 && s[3] == ',':
		// Sun, 06 Nov 1994 08:49:37 GMT
		if !oneOf(s[:3], shortDays) || s[4] != ' ' || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[25:] != " GMT" {
			return 0, false
		}
		return instant(number(s[12:16]), month(s[8:11]), number(s[5:7]), s[17:25])
	case len(s) == 24 && s[3] == ' ':
		// Sun Nov  6 08:49:37 1994
		day := s[8:10]
		if day[0] == ' ' {
			day = day[1:]
		}
		if !oneOf(s[:3], shortDays) || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' {
			return 0, false
		}
		return instant(number(s[20:24]), month(s[4:7]), number(day), s[11:19])
	case len(s) >= 30 && len(s) <= 33:
		// Sunday, 06-Nov-94 08:49:37 GMT
		rest := s[len(s)-24:]
		if !oneOf(s[:len(s)-24], longDays) || rest[:2] != ", " || rest[4] != '-' || rest[8] != '-' || rest[11] != ' ' || rest[20:] != " GMT" {
			return 0, false
		}
		short := number(rest[9:11])
		if short < 0 {
			return 0, false
		}
		year, _ := yearOf(now)
		full := year - year%100 + 100 + short
		for ; full >= 100; full -= 100 {
			at, ok := instant(full, month(rest[5:8]), number(rest[2:4]), rest[12:20])
			if !ok && full > year+50 { // 29 February: the next century may have none
				continue
			}
			if !ok || at <= now+fiftyYears {
				return at, ok
			}
		}
	}
	return 0, false
}

const (
	shortDays  = "Mon Tue Wed Thu Fri Sat Sun "
	longDays   = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday "
	months     = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
	fiftyYears = 50*365*86400 + 13*86400
)

// oneOf says whether a word is in a list of words that each end with a space.
func oneOf(word, list string) bool {
	for list != "" {
		i := 0
		for list[i] != ' ' {
			i++
		}
		if list[:i] == word {
			return true
		}
		list = list[i+1:]
	}
	return false
}

// month is 1 to 12, or 0.
func month(s string) int {
	for i := 0; i < len(months); i += 4 {
		if months[i:i+3] == s {
			return i/4 + 1
		}
	}
	return 0
}

// number is what digits mean, -1 when they are none.
func number(s string) int {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

// instant is the Unix time of a date and a time of day, hh:mm:ss.
func instant(year, month, day int, clock string) (int64, bool) {
	if clock[2] != ':' || clock[5] != ':' {
		return 0, false
	}
	hour, minute, sec := number(clock[:2]), number(clock[3:5]), number(clock[6:])
	if year < 0 || month == 0 || day < 1 || day > daysIn(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 60 {
		return 0, false
	}
	return daysSince1970(year, month, day)*86400 + int64(hour)*3600 + int64(minute)*60 + int64(min(sec, 59)), true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts days of the Gregorian calendar from years that begin in March, so that the day that is sometimes there is the last of its year.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	era := year
	if era < 0 {
		era -= 399
	}
	era /= 400
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era)*146097 + int64(dayOfEra) - 719468
}

// yearOf is the year of a Unix time after 0, and on which of its days it is, from 0.
func yearOf(unix int64) (year int, day int64) {
	days := max(unix, 0) / 86400
	year = 1970 + int(days/366)
	for daysSince1970(year+1, 1, 1) <= days {
		year++
	}
	return year, days - daysSince1970(year, 1, 1)
}

// AppendDate appends a Unix time in seconds, from 0 to the year 9999, as an IMF-fixdate (RFC 9110 §5.6.7).
func AppendDate(b []byte, unix int64) []byte {
	unix = min(max(unix, 0), 253402300799)
	year, day := yearOf(unix)
	m := 1
	for ; day >= int64(daysIn(year, m)); m++ {
		day -= int64(daysIn(year, m))
	}
	weekday := (unix/86400 + 3) % 7 // from Monday; 1 January 1970 was a Thursday
	b = append(b, shortDays[weekday*4:weekday*4+3]...)
	b = append(b, ", "...)
	b = appendTwo(b, day+1)
	b = append(b, ' ')
	b = append(b, months[(m-1)*4:m*4]...)
	b = appendTwo(b, int64(year)/100)
	b = appendTwo(b, int64(year)%100)
	b = append(b, ' ')
	b = append(appendTwo(b, unix%86400/3600), ':')
	b = append(appendTwo(b, unix%3600/60), ':')
	return append(appendTwo(b, unix%60), " GMT"...)
}

func appendTwo(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
