package balance

// latency draws two members by chance and takes the one that costs less: its latency × the requests it would have in
// flight, per weight. Two draws find a good member almost as surely as looking at all, without every node of a fleet
// rushing to the same best one (Mitzenmacher, "The Power of Two Choices", 2001).
type latency struct{ *pool }

func (b *latency) Pick(_, random uint64, now int64, tried Tried) (int, bool) {
	n := len(b.slots)
	if n == 0 {
		return 0, false
	}
	if n > 1 {
		i, j := two(random, n)
		if b.eligible(i, firstRound, now, &tried) && b.eligible(j, firstRound, now, &tried) {
			return b.slots[b.cheaper(i, j, firstRound, now)].index, true
		}
	}
	for r := firstRound; r <= lastRound; r++ {
		count := 0
		for i := range b.slots {
			if b.eligible(i, r, now, &tried) {
				count++
			}
		}
		if count == 0 {
			continue
		}
		first, second := two(random, count)
		i, j := b.nth(first, r, now, &tried), b.nth(second, r, now, &tried)
		if i >= 0 && j >= 0 { // else health changed between the loops
			return b.slots[b.cheaper(i, j, r, now)].index, true
		}
	}
	return 0, false
}

// two draws two different numbers below n; for n = 1 they are the same.
func two(random uint64, n int) (int, int) {
	i := int(scale(random, uint64(n)))
	if n == 1 {
		return i, i
	}
	j := int(scale(mix(random), uint64(n-1)))
	if j >= i {
		j++
	}
	return i, j
}

// nth returns the slot that is the nth eligible one, counted from 0, or the last one if there are fewer; -1 if none is.
func (b *latency) nth(n int, r round, now int64, tried *Tried) int {
	last := -1
	for i := range b.slots {
		if b.eligible(i, r, now, tried) {
			last = i
			if n--; n < 0 {
				break
			}
		}
	}
	return last
}

func (b *latency) cheaper(i, j int, r round, now int64) int {
	if b.cost(j, r, now) < b.cost(i, r, now) {
		return j
	}
	return i
}

// unmeasured stands for the latency, in ns, of a member that has requests but no response yet: more than any measured
// one. So an endpoint that just joined gets one request, and no second before its first response.
const unmeasured = 1e30

func (b *latency) cost(i int, r round, now int64) float64 {
	load := b.slots[i].load
	active := max(load.Active(), 0)
	average := load.Latency(now)
	if average == 0 && active > 0 {
		average = unmeasured
	}
	return average * float64(active+1) / float64(b.weight(i, r, now))
}
