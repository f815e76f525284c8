package validate

import "runtime"

// desks are as many bodies as may lie open at a time in the process, as values that take up to some 30 times as much memory as the text. To judge
// is work of a processor alone, so that more at a time would end no earlier.
var desks = make(chan struct{}, 2*runtime.GOMAXPROCS(0))

// sit waits for a desk; the caller gives it back by what is returned. Nobody at a desk waits for anything.
func sit() (leave func()) {
	desks <- struct{}{}
	return free
}

func free() { <-desks }
