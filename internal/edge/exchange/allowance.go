package exchange

// Allowance is what a limit leaves a caller, as the fields RateLimit and RateLimit-Policy tell it.
type Allowance struct {
	// Name is that of the limit, in letters, digits, hyphens and underscores.
	Name string
	// Quota is how much may be used in Window nanoseconds; 0 nanoseconds say nothing of a window.
	Quota  int64
	Window int64
	// Left is how much of it is left, and Reset in how many nanoseconds all of it will be back.
	Left  int64
	Reset int64
}

// maxAllowances is how many limits may tell of themselves on one exchange. Further ones hold and are not told of.
const maxAllowances = 8

// Allow notes what a limit leaves the caller.
func (x *Exchange) Allow(a Allowance) {
	if len(x.Allowances) < maxAllowances {
		x.Allowances = append(x.Allowances, a)
	}
}
