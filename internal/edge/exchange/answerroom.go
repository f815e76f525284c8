package exchange

// AnswerBudget is how many bytes of answers all exchanges of the process may hold together while policies of step 8 change them. It is a room
// of its own beside HoldBudget, with the same parts for one address and for all who are not proven: a client that reads slowly keeps its answer
// held.
const AnswerBudget = HoldBudget

// answering is what is held of answers at the moment.
var answering room

// HoldingAnswers is how many bytes of answers are held at the moment.
func HoldingAnswers() int64 { return answering.all.Load() }

// AnswerRoom is what one exchange has taken of the room for answers. The zero value has taken nothing.
type AnswerRoom struct {
	holder
	bytes int64
}

// Take makes it n bytes in all, if there is room for more or it is less, and says whether it is. What was taken before stays when it is not.
func (a *AnswerRoom) Take(x *Exchange, n int64) bool {
	if a.bytes == 0 {
		a.holder = holder{proven: x.Caller.Method != "", by: placeOf(x.Client)}
	}
	switch more := n - a.bytes; {
	case more > 0:
		if !answering.take(more, a.bytes, &a.holder) {
			return false
		}
	case more < 0:
		answering.give(-more, &a.holder)
	}
	a.bytes = n
	return true
}

// Release gives all of it back.
func (a *AnswerRoom) Release() {
	if a.bytes > 0 {
		answering.give(a.bytes, &a.holder)
	}
	*a = AnswerRoom{}
}
