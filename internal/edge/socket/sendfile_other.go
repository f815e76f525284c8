//go:build !linux

package socket

import "os"

// ParcelSize is as on Linux.
const ParcelSize = 512 << 10

// Parcel cannot be had: only Linux can do it. Callers copy instead.
type Parcel struct{}

// NewParcel returns ErrNoSplice.
func NewParcel() (*Parcel, error) { return nil, ErrNoSplice }

// Load returns ErrNoSplice.
func (p *Parcel) Load(f *os.File, offset int64, n int) (int, error) { return 0, ErrNoSplice }

// Drop does nothing.
func (p *Parcel) Drop() {}

// SendParcel returns ErrNoSplice.
func (c *Conn) SendParcel(p *Parcel, patience int64) (sent int, err error) { return 0, ErrNoSplice }

// SendFile sends nothing.
func SendFile(dst *Conn, f *os.File, offset, n, patience int64) (sent int64, read, write error) {
	return 0, ErrNoSplice, nil
}

// TakesParcels says no.
func (c *Conn) TakesParcels() bool { return false }
