package config

import "straum.dev/straum/internal/document"

// Log is what is logged.
type Log struct {
	Level  string    `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"The least that is logged about Straum itself, on stderr."`
	Format string    `yaml:"format" default:"json" enum:"json,text" doc:"How it is written."`
	Access AccessLog `yaml:"access" doc:"One line a request."`
}

// AccessLog is one line a request.
type AccessLog struct {
	To         string        `yaml:"to" default:"stdout" length:"1..1024" doc:"stdout, stderr, off, or the path of a file."`
	Buffer     document.Size `yaml:"buffer" default:"4MiB" range:"256KiB..1GiB" doc:"Bytes of lines that may wait to be written; when it is full new lines are dropped and counted, requests never wait."`
	Addresses  string        `yaml:"addresses" default:"masked" enum:"masked,full,none" doc:"Client addresses: masked to /24 (IPv4) or /48 (IPv6), full, or not at all."`
	Credential bool          `yaml:"credential" default:"false" doc:"Name the credential that was shown, by its id, besides the consumer. It tells which of a consumer's keys is still in use."`
	Query      string        `yaml:"query" default:"redacted" enum:"redacted,full,none" doc:"Query strings: names with values redacted, full, or not at all."`

	Node document.Node `yaml:",self"`
}

// Metrics is the page that metrics are read from.
type Metrics struct {
	Off     bool          `yaml:",off"`
	Address ListenAddress `yaml:"address" default:"127.0.0.1:9900" doc:"Where to serve it. Keep it off the Internet."`

	Node document.Node `yaml:",self"`
}

// Admin is the admin API.
type Admin struct {
	Off     bool            `yaml:",off"`
	Socket  string          `yaml:"socket" default:"/run/straum/admin.sock" length:"0..107" doc:"Path of its Unix socket, open to its owner only (0600); empty is none."`
	Address ListenAddress   `yaml:"address" doc:"A loopback address to serve it on as well. None when left out."`
	Token   document.Secret `yaml:"token" doc:"What callers on the address must show, at least 16 bytes; required with address. Best written as ${VARIABLE} or file:/path."`

	Node document.Node `yaml:",self"`
}

// Shutdown is how to stop.
type Shutdown struct {
	Drain document.Duration `yaml:"drain" default:"30s" range:"0|100ms..1h" doc:"How long exchanges under way may take to end after the signal to stop."`
}
