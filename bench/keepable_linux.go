package main

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// keepable is the endpoint behind gateways that cache: what it answers may be kept for an hour. It counts how often it is asked.
//
//	/cache/SIZE/NAME  that many bytes
//	/cache/z/NUMBER   one of the mix, see zipfSize
//	/cache/cold/NAME  1 KiB, after half a second
type keepable struct {
	server *http.Server
	asked  atomic.Int64
}

func startKeepable(address string) (*keepable, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	k := &keepable{}
	k.server = &http.Server{Handler: k}
	go k.server.Serve(l)
	return k, nil
}

func (k *keepable) close() { k.server.Close() }

// keepableText is what contents are cut from. It cannot be compressed, should anybody try.
var keepableText = func() []byte {
	b := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}()

func (k *keepable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.asked.Add(1)
	kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/cache/"), "/")
	size, err := strconv.Atoi(kind)
	switch {
	case kind == "z":
		number, _ := strconv.Atoi(name) // what is no number is as long as the first
		size = zipfSize(number)
	case kind == "cold":
		size = 1 << 10
		time.Sleep(coldTakes)
	case err != nil || size > len(keepableText):
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = w.Write(keepableText[:size]) // a gateway that has gone is seen elsewhere
}
