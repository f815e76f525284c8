package nft

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// Most is how many prefixes the kernel is given.
	Most = 65536
	// Lease is how long the kernel drops an address without being told again.
	Lease = time.Hour

	batch    = 256              // elements in one message: more in one transaction end in ENOBUFS on small receive buffers
	look     = time.Minute      // between two looks at whether the table is still there
	soon     = 2 * time.Second  // an element this close to its end may be gone before a message about it arrives
	pauseMin = time.Second      // before the next try after a failure, doubled with each one
	pauseMax = 10 * time.Minute // and not beyond this
)

// Options are those of Drops.
type Options struct {
	Table string // of the family inet; "" is straum
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now
}

// Drops are the prefixes whose packets the kernel drops. All methods may be called from any goroutine and none waits for the kernel,
// except Close.
type Drops struct {
	log   *slog.Logger
	now   func() time.Time
	table table

	mu      sync.Mutex // guards what follows
	want    map[netip.Prefix]time.Time
	changed map[netip.Prefix]struct{} // since the kernel was told
	ports   []uint16
	redo    bool // the kernel is to be told everything
	over    int  // bans that found no room
	problem string
	given   int
	closed  bool

	// Those of run alone.
	have  map[netip.Prefix]time.Time // what the kernel holds, and until when
	pause time.Duration

	wake chan struct{}
	done chan struct{}
}

// table is the kernel's side. Each call is a transaction: it is in force as a whole or not at all.
type table interface {
	// reset makes the table anew, empty.
	reset(ports []uint16) error
	// update removes elements and adds others, at most batch of each. Removing one that is not there is an error (fs.ErrNotExist).
	update(remove []netip.Prefix, add []element) error
	// there says whether the table is.
	there() (bool, error)
	// remove takes the table away; that there is none is no error.
	remove() error
}

type element struct {
	prefix netip.Prefix
	left   time.Duration
}

// New makes Drops that the kernel knows nothing of before Start.
func New(o Options) *Drops {
	if o.Table == "" {
		o.Table = "straum"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return fill(&Drops{log: o.Log, now: o.Now, table: newTable(o.Table)})
}

func fill(d *Drops) *Drops {
	d.want, d.have, d.changed = map[netip.Prefix]time.Time{}, map[netip.Prefix]time.Time{}, map[netip.Prefix]struct{}{}
	d.wake, d.done, d.redo = make(chan struct{}, 1), make(chan struct{}), true
	return d
}

// Start begins to tell the kernel. It is called once; Close ends it.
func (d *Drops) Start() { go d.run() }

// Ban drops what comes from p until a time, or with the zero time until Lift. What is banned already is banned until then.
func (d *Drops) Ban(p netip.Prefix, until time.Time) {
	if !p.IsValid() || p.Bits() == 0 || p.Addr().Is4In6() || p.Addr().Zone() != "" {
		return // the whole Internet is never meant, and the others cannot be a source
	}
	p = p.Masked()
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.want[p]; !known && len(d.want) >= Most {
		d.over++
		return
	}
	d.want[p] = until
	d.changed[p] = struct{}{}
	d.ring()
}

// Lift ends the ban of exactly p.
func (d *Drops) Lift(p netip.Prefix) {
	p = p.Masked()
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.want[p]; known {
		delete(d.want, p)
		d.changed[p] = struct{}{}
		d.ring()
	}
}

// Ports sets which TCP ports are closed to the banned; none before the first call.
func (d *Drops) Ports(ports []uint16) {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(ports, d.ports) {
		d.ports, d.redo = ports, true
		d.ring()
	}
}

// Figures tell how the kernel's side stands.
type Figures struct {
	Given int // prefixes that the kernel has been given
	Over  int // bans so far that were left out because there were Most
	// Problem is why the kernel drops nobody, or not all it should; "" when all is well.
	Problem string
}

// Figures returns how the kernel's side stands.
func (d *Drops) Figures() Figures {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Figures{d.given, d.over, d.problem}
}

// Close takes the table away. Nobody is dropped by the kernel any more.
func (d *Drops) Close() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.closed = true
	d.ring()
	d.mu.Unlock()
	<-d.done
}

// ring wakes run. The lock is held.
func (d *Drops) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run tells the kernel until Close.
func (d *Drops) run() {
	defer close(d.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		struck := false
		select {
		case <-timer.C:
			struck = true
		case <-d.wake:
		}
		switch {
		case d.ended():
			if err := d.table.remove(); err != nil && d.Figures().Problem == "" {
				d.log.Warn("the table of bans could not be taken out of the kernel; within the hour it drops nobody any more", "error", err.Error())
			}
			return
		case struck:
			d.review()
		case d.pause > 0:
			continue // the timer strikes when it is time for another try
		}
		d.settle(d.tell())
		switch {
		case d.pause > 0:
			timer.Reset(d.pause)
		case struck:
			timer.Reset(look)
		}
	}
}

func (d *Drops) ended() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// settle takes note of how telling the kernel went.
func (d *Drops) settle(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.given = len(d.have)
	if err == nil {
		if d.problem != "" {
			d.log.Info("banned addresses are dropped by the kernel again", "prefixes", d.given)
		}
		d.problem, d.pause = "", 0
		return
	}
	d.redo = true
	d.pause = min(max(2*d.pause, pauseMin), pauseMax)
	if text := err.Error(); text != d.problem {
		d.problem = text
		d.log.Warn("banned addresses are not dropped by the kernel; they are dropped when they connect, as without it", "error", text)
	}
}

// review is what time alone asks for: bans that are over are forgotten, leases that run out are renewed, and a table that somebody took
// away, as by flushing the whole ruleset, is made anew.
func (d *Drops) review() {
	gone := false
	if len(d.have) > 0 {
		if there, err := d.table.there(); err == nil && !there {
			gone = true
		}
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.redo = d.redo || gone
	for p, until := range d.want {
		if !until.IsZero() && !until.After(now) {
			delete(d.want, p)
			continue
		}
		if end, held := d.have[p]; held && end.Sub(now) < Lease/2 && (until.IsZero() || until.After(end)) {
			d.changed[p] = struct{}{}
		}
	}
	for p, end := range d.have {
		if _, wanted := d.want[p]; !wanted && !end.After(now) {
			delete(d.have, p)
		}
	}
}

// tell brings the kernel to what is wanted.
func (d *Drops) tell() error {
	d.mu.Lock()
	redo, ports := d.redo, d.ports
	d.redo = false
	changed := d.changed
	d.changed = map[netip.Prefix]struct{}{}
	if redo {
		clear(changed)
		for p := range d.want {
			changed[p] = struct{}{}
		}
	}
	d.mu.Unlock()
	if redo {
		if err := d.table.reset(ports); err != nil {
			return err
		}
		clear(d.have)
	}
	all := slices.SortedFunc(maps.Keys(changed), netip.Prefix.Compare)
	for part := range slices.Chunk(all, batch) {
		if err := d.tellOf(part); err != nil {
			return err
		}
	}
	return nil
}

// tellOf brings the kernel to what is wanted of some prefixes.
func (d *Drops) tellOf(part []netip.Prefix) error {
	now := d.now()
	var remove []netip.Prefix
	var add []element
	for _, p := range part {
		if end, held := d.have[p]; held {
			if end.Sub(now) > soon {
				remove = append(remove, p)
			} else if err := d.table.update([]netip.Prefix{p}, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		d.mu.Lock()
		until, wanted := d.want[p]
		d.mu.Unlock()
		left := Lease
		if !until.IsZero() {
			left = min(left, until.Sub(now))
		}
		if wanted && left >= time.Millisecond {
			add = append(add, element{p, left})
		}
	}
	if len(remove)+len(add) == 0 {
		return nil
	}
	if err := d.table.update(remove, add); err != nil {
		return err
	}
	for _, p := range part {
		delete(d.have, p)
	}
	for _, e := range add {
		d.have[e.prefix] = now.Add(e.left)
	}
	return nil
}

// setName is the name of the set that prefixes of one family and length are in.
func setName(p netip.Prefix) string {
	family := 6
	if p.Addr().Is4() {
		family = 4
	}
	return fmt.Sprintf("v%d_%d", family, p.Bits())
}
