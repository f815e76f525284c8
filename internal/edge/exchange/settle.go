package exchange

// Settler is told when an exchange is over, whichever way it ended: what it lent, such as a place among those who may be under way at a
// time, comes back then. A tunnel is over when nothing moves on it any more.
type Settler interface {
	// Settle is called once, in step 11, before the observers read the exchange. It must not wait.
	Settle(x *Exchange)
}

// maxSettlers is how many may wait for the end of one exchange. Fewer policies lend anything, also when those of step 9 do it twice because the first
// answer could not be sent.
const maxSettlers = 12

// AtEnd has s told when the exchange is over. There may be twelve at most.
func (x *Exchange) AtEnd(s Settler) {
	if x.settling == maxSettlers {
		panic("BUG: more policies wait for the end of an exchange than there may be")
	}
	x.settlers[x.settling] = s
	x.settling++
}

// Settle tells those who wait for the end, the last who came first. It does nothing the second time.
func (x *Exchange) Settle() {
	for x.settling > 0 {
		x.settling--
		s := x.settlers[x.settling]
		x.settlers[x.settling] = nil
		s.Settle(x)
	}
}
