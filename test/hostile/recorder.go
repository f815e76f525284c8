package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Recorder is an endpoint that answers every request with 200 and remembers what it was sent. It accepts only messages that no two
// readers can take in two ways; anything else is a fault of the gateway that passed it on.
type Recorder struct {
	listener net.Listener
	group    sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	requests []string // "METHOD target", whole ones only
	faults   []string
}

// Listen starts a recorder on a free port of the loopback interface. Close ends it.
func Listen() (*Recorder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Recorder{listener: listener}
	r.group.Add(1)
	go r.runAccept()
	return r, nil
}

// Addr is where it listens.
func (r *Recorder) Addr() string { return r.listener.Addr().String() }

// Close ends the recorder and its connections.
func (r *Recorder) Close() {
	r.listener.Close()
	r.mu.Lock()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
}

// Take returns what arrived since the last call: whole requests, and faults in what was sent.
func (r *Recorder) Take() (requests, faults []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests, faults = r.requests, r.faults
	r.requests, r.faults = nil, nil
	return requests, faults
}

func (r *Recorder) runAccept() {
	defer r.group.Done()
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		r.group.Add(1)
		go r.runServe(conn)
	}
}

func (r *Recorder) runServe(conn net.Conn) {
	defer r.group.Done()
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 1<<20)
	for {
		line, err := ReadStrict(in)
		r.mu.Lock()
		if err == nil {
			r.requests = append(r.requests, line)
		} else if err != io.EOF && err != io.ErrUnexpectedEOF && !strings.Contains(err.Error(), "closed network connection") && !strings.Contains(err.Error(), "reset by peer") {
			r.faults = append(r.faults, err.Error())
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
		if strings.HasPrefix(line, "HEAD ") {
			answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

var (
	requestLine = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ((?:/[!$-~]*)|\\*) HTTP/1\\.1$")
	fieldLine   = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\\x00-\\x08\\x0a-\\x1f\\x7f]*)$")
	notLetters  = regexp.MustCompile("[^a-z]")
	number      = regexp.MustCompile("^(0|[1-9][0-9]{0,17})$")
	chunkSize   = regexp.MustCompile("^(0|[1-9a-f][0-9a-f]{0,14})$")
)

// ReadStrict reads one request and returns its method and target. io.EOF and io.ErrUnexpectedEOF say that there is none, or only a part;
// any other error says what could be taken in two ways.
func ReadStrict(in *bufio.Reader) (string, error) {
	if _, err := in.Peek(1); err != nil {
		return "", err
	}
	line, err := readLine(in)
	if err != nil {
		return "", err
	}
	parts := requestLine.FindStringSubmatch(line)
	if parts == nil {
		return "", fmt.Errorf("request line %q", line)
	}
	fields, err := readFields(in)
	if err != nil {
		return "", err
	}
	if len(fields["host"]) != 1 || fields["host"][0] == "" {
		return "", fmt.Errorf("not one Host but %q", fields["host"])
	}
	lengths, codings := fields["contentlength"], fields["transferencoding"]
	switch {
	case len(lengths)+len(codings) > 1:
		return "", fmt.Errorf("lengths %q and codings %q", lengths, codings)
	case len(codings) == 1:
		if codings[0] != "chunked" {
			return "", fmt.Errorf("coding %q", codings[0])
		}
		err = readChunks(in)
	case len(lengths) == 1:
		if !number.MatchString(lengths[0]) {
			return "", fmt.Errorf("length %q", lengths[0])
		}
		n, _ := strconv.ParseInt(lengths[0], 10, 64) // it matches
		_, err = io.CopyN(io.Discard, in, n)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return parts[1] + " " + parts[2], err
}

// readFields reads a header or trailer section. Names are compared by their letters alone, so that none can hide from a reader that
// is less strict.
func readFields(in *bufio.Reader) (map[string][]string, error) {
	fields := map[string][]string{}
	for {
		line, err := readLine(in)
		if err != nil || line == "" {
			return fields, err
		}
		parts := fieldLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("field %q", line)
		}
		value := parts[2]
		if strings.Trim(value, " \t") != value {
			return nil, fmt.Errorf("field %q has white space around its value", line)
		}
		name := notLetters.ReplaceAllString(strings.ToLower(parts[1]), "")
		exact := strings.ToLower(parts[1])
		if slices.Contains([]string{"contentlength", "transferencoding"}, name) && exact != "content-length" && exact != "transfer-encoding" {
			return nil, fmt.Errorf("field %q resembles one that says where the message ends", line)
		}
		if exact == "host" || name != "host" {
			fields[name] = append(fields[name], value)
		}
	}
}

func readChunks(in *bufio.Reader) error {
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		if !chunkSize.MatchString(line) {
			return fmt.Errorf("chunk size %q", line)
		}
		if line == "0" {
			fields, err := readFields(in)
			if err == nil && len(fields["contentlength"])+len(fields["transferencoding"])+len(fields["host"]) > 0 {
				return fmt.Errorf("trailer %q", fields)
			}
			return err
		}
		size, _ := strconv.ParseInt(line, 16, 64) // it matches
		if _, err := io.CopyN(io.Discard, in, size); err != nil {
			return err
		}
		if end, err := readLine(in); err != nil || end != "" {
			if err == nil {
				err = fmt.Errorf("%q behind a chunk", end)
			}
			return err
		}
	}
}

// readLine reads a line that ends with CR LF and has neither of the two inside.
func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("line %q", line)
	}
	return text, nil
}
