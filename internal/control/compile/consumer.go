package compile

import (
	"errors"
	"os"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/wording"
)

// CredentialFile is a file of credentials.
type CredentialFile struct {
	Path string
	At   document.Node // for problems
}

// directory is how the consumers of a configuration are put together: once to judge them, and again with the files each time the revision
// is put in force.
type directory struct {
	steps []step
	files []CredentialFile
}

// step adds one thing; at is where it stands.
type step struct {
	at  document.Node
	add func(*consumer.Builder) error
}

func (k *compiler) consumers() {
	d := &k.out.directory
	plans := map[string]*consumer.Plan{}
	for i := range k.config.Plans {
		p := plan(&k.config.Plans[i])
		plans[p.Name] = p
		d.steps = append(d.steps, step{k.config.Plans[i].Node, func(b *consumer.Builder) error { return b.Plan(p) }})
	}
	for i := range k.config.Consumers {
		k.consumer(&k.config.Consumers[i], plans)
	}
	for i := range k.config.CredentialFiles {
		f := &k.config.CredentialFiles[i]
		d.files = append(d.files, CredentialFile{config.Beside(f.Node, f.File), f.Node})
	}
	if k.problems.Len() == 0 { // what follows from a mistake told already need not be told
		_, err := d.build(false)
		k.problems.Add(err)
	}
}

func plan(p *config.Plan) *consumer.Plan {
	out := &consumer.Plan{Name: p.Name}
	for _, r := range p.Rates {
		burst := r.Burst
		if burst == 0 {
			burst = r.Requests
		}
		out.Rates = append(out.Rates, consumer.Rate{Requests: r.Requests, Per: int64(r.Per.Std()), Burst: burst})
	}
	for _, q := range p.Quotas {
		out.Quotas = append(out.Quotas, consumer.Quota{Requests: q.Requests, Period: q.Per})
	}
	return out
}

func (k *compiler) consumer(c *config.Consumer, plans map[string]*consumer.Plan) {
	d := &k.out.directory
	d.steps = append(d.steps, step{c.Node, func(b *consumer.Builder) error {
		return b.Consumer(consumer.Consumer{ID: c.ID, Name: c.Name, Plan: plans[c.Plan], Groups: c.Groups, Tags: c.Tags})
	}})
	for i := range c.Credentials {
		k.credential(c.ID, &c.Credentials[i])
	}
}

func (k *compiler) credential(of string, c *config.Credential) {
	terms := consumer.Terms{ID: c.ID, Scopes: c.Scopes}
	if c.Expires != "" {
		var err error
		terms.Expires, err = consumer.ParseExpires(c.Expires)
		k.refused(c.Node.At("expires"), err)
		k.out.ends = append(k.out.ends, end{c.Node.At("expires"), terms.Expires})
	}
	var add func(*consumer.Builder) error
	switch {
	case c.APIKey != "":
		hash, err := consumer.ParseHash(c.APIKey)
		k.refused(c.Node.At("api_key"), err)
		add = func(b *consumer.Builder) error { return b.Key(of, consumer.KeySpec{Hash: hash, Terms: terms}) }
	case c.Basic != nil:
		password, err := consumer.ParsePassword(c.Basic.Password.Reveal())
		k.refused(c.Basic.Node.At("password"), err)
		add = func(b *consumer.Builder) error {
			return b.Basic(of, consumer.BasicSpec{Username: c.Basic.Username, Password: password, Terms: terms})
		}
	case c.HMAC != nil:
		add = func(b *consumer.Builder) error {
			return b.Secret(of, consumer.SecretSpec{KeyID: c.HMAC.ID, Secret: []byte(c.HMAC.Secret.Reveal()), Terms: terms})
		}
	case c.MTLS != nil:
		m := c.MTLS
		add = func(b *consumer.Builder) error {
			return b.Certificate(of, consumer.CertificateSpec{Fingerprint: m.Fingerprint, Subject: m.Subject, DNS: m.DNS, URI: m.URI, Email: m.Email, Terms: terms})
		}
	default:
		k.blame(c.Node, "the credential is of no kind; allowed: api_key, basic, hmac or mtls")
		return
	}
	k.out.directory.steps = append(k.out.directory.steps, step{c.Node, add})
}

// Consumers puts the consumers together, with the files of credentials, which are read now. The error is *document.Problems.
func (c *Compiled) Consumers() (*consumer.Directory, error) { return c.directory.build(true) }

func (d *directory) build(files bool) (*consumer.Directory, error) {
	var problems document.Problems
	b := consumer.NewBuilder()
	for _, s := range d.steps {
		if err := s.add(b); err != nil {
			problems.Add(s.at.Errorf("%s", err))
		}
	}
	if files {
		for _, f := range d.files {
			problems.Add(f.read(b))
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return b.Build(), nil
}

func (f *CredentialFile) read(b *consumer.Builder) error {
	r, err := os.Open(f.Path)
	if err != nil {
		return f.At.Errorf("the file %s cannot be read: %s", f.Path, wording.Cause(err))
	}
	defer r.Close()
	return f.place(b.ReadFile(f.Path, r))
}

// place makes problems of what is wrong with lines, each at its own; whatever else is wrong is at the name of the file.
func (f *CredentialFile) place(err error) error {
	if err == nil {
		return nil
	}
	var problems document.Problems
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		var line *consumer.LineError
		if errors.As(err, &line) {
			problems.Add(document.Problem{File: line.File, Line: line.Line, Text: line.Err.Error()})
		} else {
			problems.Add(f.At.Errorf("%s", err))
		}
	}
	return problems.Err()
}
