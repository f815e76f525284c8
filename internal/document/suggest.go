package document

// Suggest returns the candidate nearest to word, or "" when none is near enough to be a slip of the fingers:
// at most one edit for words of up to four letters, two for up to eight, three above.
// Candidates equal to word are skipped. The first of several equally near ones wins.
func Suggest(word string, candidates []string) string {
	best, bestAt := "", reach(word)+1
	for _, c := range candidates {
		if c == word || abs(len(c)-len(word)) >= bestAt {
			continue
		}
		if d := distance(word, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// reach is how many edits may lie between a word and what we suggest for it.
func reach(word string) int {
	switch n := len(word); {
	case n < 2:
		return 0
	case n <= 4:
		return 1
	case n <= 8:
		return 2
	default:
		return 3
	}
}

// longest bounds the words compared, as the comparison costs the product of their lengths.
const longest = 128

// distance is the optimal string alignment distance of two words, over bytes: insertions, deletions,
// replacements and swaps of neighbours, where no part is edited twice (Damerau 1964). Letter case and the
// choice of -, _ or space cost nothing, so a word in the wrong case is always in reach.
func distance(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	before, last, now := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if fold(a[i-1]) == fold(b[j-1]) {
				cost = 0
			}
			d := min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && fold(a[i-1]) == fold(b[j-2]) && fold(a[i-2]) == fold(b[j-1]) {
				d = min(d, before[j-2]+1)
			}
			now[j] = d
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '-' || c == ' ':
		return '_'
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
