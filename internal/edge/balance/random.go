package balance

// random picks by chance and weight. It keeps no state at all.
type random struct{ *pool }

func (b *random) Pick(_, random uint64, now int64, tried Tried) (int, bool) {
	if len(b.slots) == 0 {
		return 0, false
	}
	i := b.owner(scale(random, b.total))
	if again := mix(random); b.accept(i, again, now, &tried) {
		return b.slots[i].index, true
	}
	return b.scatter(mix(random+golden), now, &tried)
}
