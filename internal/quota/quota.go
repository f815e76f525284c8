// Package quota counts what each caller has used of a calendar day or month. It serves step 4, where the policy quota asks for every
// request. Counts are kept on this node, in memory and in a file that outlives a restart, or in the store that a fleet shares.
//
// In reading order: quota.go (what is asked and answered), calendar.go (when days and months begin; pure), ledger.go (the counts),
// format.go (how they stand in a file; pure), book.go (the file and who writes it), shared.go (the shared store).
//
// It refuses to know who a caller is: it sees numbers made from names with a secret, so that neither its file nor the store says who
// called. It refuses to give a count up before its day or month is over, whatever is asked of it meanwhile.
package quota

// ID stands for who is counted. It is made by a keyed hash, so that nobody can choose one, and two of a kind do not happen.
type ID [16]byte

// Period is how long a quota is for.
type Period uint8

// The periods.
const (
	Day Period = iota
	Month
	periods
)

func (p Period) String() string { return [...]string{"day", "month"}[p] }

// Periods is how many periods there are.
const Periods = int(periods)

// Limits are how much may be used in each period; 0 is no limit, and nothing is counted for it.
type Limits [periods]int64

// None says that nothing is limited.
func (l *Limits) None() bool { return *l == Limits{} }

// Lower makes the limit of a period most, if there is none or it is larger.
func (l *Limits) Lower(p Period, most int64) {
	if l[p] == 0 || most < l[p] {
		l[p] = most
	}
}

// Share is the part of one of so many nodes, at least 1 where there is a limit.
func (l Limits) Share(nodes int) Limits {
	for p := range l {
		if l[p] > 0 {
			l[p] = max(l[p]/int64(nodes), 1)
		}
	}
	return l
}

// Outcome is what became of a request for some of a quota.
type Outcome struct {
	// Refused says that it was more than is left, of which nothing was taken then. By is the period, the longer one if it is both.
	Refused bool
	By      Period
	// Shared says that there was no room for a count of its own: it is counted together with others for whom there was none.
	Shared bool
	// Used is how much is used now in each period that has a limit, and Rest in how many seconds that period ends.
	Used, Rest [periods]int64
}
