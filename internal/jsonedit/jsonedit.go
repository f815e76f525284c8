// Package jsonedit changes JSON texts (RFC 8259) at places named by JSON pointers (RFC 6901): it removes, renames, moves and sets. What it does
// not change is copied byte for byte, so that numbers keep every digit, strings their escapes and members their order.
//
// It is used by policies of steps 4 and 8, and knows nothing of exchanges. In reading order: jsonedit.go (what is to be done), scan.go (what is
// good JSON), program.go (the pointers, compiled), take.go (the first way through the text: remove, rename, take out), put.go (the second: put
// in and set), quote.go.
//
// A text is read three times at most, whatever is to be done to it: once to judge it, once by take, once by put.
//
// It refuses to build a tree of a text, to guess what a text that is not JSON could mean, and to take a text in which a name stands twice in one
// object, unless it is told to: readers differ in which of the two counts.
package jsonedit

import (
	"errors"
	"fmt"
)

// Edit is what is done, in this order: Remove, Rename, Move, Set. Pointers of Remove and Rename, and From of Move, name places of the text as it
// came; To of Move and those of Set name places of the text as it is after that.
//
// In a pointer, * stands for every element of an array and every member of an object, but not in Move. An array knows elements by their index;
// in To and Set, - is the place behind the last. A place that is not there is left alone by Remove, Rename and Move; To and Set make the
// objects on the way to it, and an array where the next word is -. What is neither object nor array is not replaced by one on the way.
type Edit struct {
	Remove []string
	// Rename gives the member at Path another name in its object. A member that has this name already gives way.
	Rename []Rename
	Move   []Move
	Set    []Set
}

// Rename is one member and its new name.
type Rename struct{ Path, Name string }

// Move is one value that goes elsewhere. The empty pointer is the whole text: {} is left when all is moved.
type Move struct{ From, To string }

// Set is one value. Value is JSON; nil asks the Values of a run for it, by the number of the Set in the list.
type Set struct {
	Path  string
	Value []byte
}

// Values gives the values of a run that are not known before.
type Values interface {
	// AppendValue appends the value of the Set with this number, as JSON.
	AppendValue(dst []byte, set int) []byte
}

// Limits bound a text.
type Limits struct {
	// Depth is how many arrays and objects may stand within each other, 1 to MaxDepth.
	Depth int
	// Twice takes texts in which names stand twice in an object. What is done to a name is done to each.
	Twice bool
	// Values is how many values a text may have, 0 for any number.
	Values int
	// Digits is how long a number may be, in bytes, and Exponent how large the exponent of one, up or down; 0 for any.
	Digits, Exponent int
	// Output is how many bytes the result may have.
	Output int
}

// MaxDepth is the most that Limits.Depth may be.
const MaxDepth = 512

// SyntaxError says what is wrong with a text and where. It holds nothing of the text.
type SyntaxError struct {
	Offset       int // in bytes, from 0
	Line, Column int // from 1; the column counts bytes
	Text         string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// ErrOutput is a result that would have more bytes than it may.
var ErrOutput = errors.New("the changed JSON is larger than allowed")

// OpError is a mistake in an Edit.
type OpError struct {
	Op   string // remove, rename, move or set
	Path string
	Text string
}

// Error implements error.
func (e *OpError) Error() string { return fmt.Sprintf("%s %q: %s", e.Op, e.Path, e.Text) }
