package packaged

import (
	"strings"
	"testing"
)

// The life of the .deb where no systemd runs, as in a container or an image that is being made: installed, run, upgraded while it runs, removed,
// installed again, purged. What an operator has changed or made stays for as long as Debian says.
func TestInstall(t *testing.T) {
	hint := strings.TrimSpace(oldHint)
	d := packages(t)
	need(t, "systemd-analyze", "setpriv", "curl", "man")
	r := newRoot(t, false)
	r.put(one(t, earlier(t), "*.deb"), "/root/old.deb")
	r.put(one(t, d, "*.deb"), "/root/new.deb")

	r.run("dpkg -i /root/old.deb")
	fresh := map[string]string{
		"/usr/bin/straum":                        "755 root:root",
		"/etc/straum":                            "750 root:straum",
		"/etc/straum/conf.d":                     "750 root:straum",
		"/etc/straum/straum.yaml":                "640 root:straum",
		"/var/lib/straum":                        "700 straum:straum",
		"/var/log/straum":                        "750 straum:straum",
		"/usr/lib/systemd/system/straum.service": "644 root:root",
	}
	r.is(fresh)
	if out := r.run("dpkg --verify straum"); out != "" {
		t.Errorf("what is installed is not what was packed: %s", out)
	}
	account := r.run("getent passwd straum")
	if f := strings.Split(account, ":"); len(f) != 7 || f[5] != "/var/lib/straum" || f[6] != "/usr/sbin/nologin" {
		t.Errorf("the account is %q", account)
	}
	if out := r.run("getent shadow straum"); !strings.HasPrefix(out, "straum:!") {
		t.Errorf("the account has a password: %q", out)
	}
	if out := r.run("readlink /etc/systemd/system/multi-user.target.wants/straum.service"); !strings.HasSuffix(out, "/lib/systemd/system/straum.service") {
		t.Errorf("the service is not enabled: %q", out)
	}
	if out, err := r.try("pgrep -x straum"); err == nil {
		t.Errorf("something was started in a root without systemd: %s", out)
	}
	if out := r.run("man -M /usr/share/man -w straum-run && straum version"); !strings.Contains(out, "straum-run.1.gz") || !strings.Contains(out, "straum v"+oldVersion) {
		t.Errorf("found the page and the version %q", out)
	}
	if out := r.run("bash -n /usr/share/bash-completion/completions/straum && straum __complete sta"); !strings.HasPrefix(out, "status\t") {
		t.Errorf("completion gives %q", out)
	}

	if out, err := r.try("systemd-analyze verify straum.service"); err != nil || out != "" {
		t.Errorf("the unit has mistakes: %v\n%s", err, out)
	}

	// It runs as its own account with what the package brought, as the unit would run it.
	start := `install -d -o straum -g straum -m 0750 /run/straum
		setpriv --reuid straum --regid straum --init-groups --no-new-privs --inh-caps=-all sh -c 'umask 077; exec straum run -c /etc/straum/straum.yaml' >/run/straum.log 2>&1 & `
	serves := func() bool {
		out, err := r.try("curl -s -m 5 http://127.0.0.1:8080/anything")
		return err == nil && strings.Contains(out, "Straum is running")
	}
	r.run(start)
	r.await("it serves as it was installed", serves)
	if out := r.run("straum status"); !strings.Contains(out, "straum v"+oldVersion) || !strings.Contains(out, "ready") {
		t.Errorf("straum status says %q", out)
	}
	r.await("the access log has the request", func() bool {
		out, _ := r.try("cat /var/log/straum/access.log")
		return strings.Contains(out, "/anything")
	})

	// The operator changes things, and upgrades while it runs.
	r.run(`sed -i 's/Straum is running/Straum is running, and mine/' /etc/straum/straum.yaml
		chmod 0755 /etc/straum; echo 'routes: []' >/etc/straum/conf.d/mine.yaml; touch /var/lib/straum/kept`)
	before := r.run("pgrep -x straum")
	r.run("dpkg --force-confold -i /root/new.deb")
	if out := r.run("straum version; cat /etc/straum/straum.yaml"); !strings.Contains(out, "straum v"+newVersion) || !strings.Contains(out, "and mine") || !strings.Contains(out, hint) {
		t.Errorf("after the upgrade: %q", out)
	}
	if out := r.run("cat /etc/straum/straum.yaml.dpkg-dist"); strings.Contains(out, hint) || strings.Contains(out, "and mine") { // for the operator to compare
		t.Errorf("the new configuration lies beside the kept one as %q", out)
	}
	changed := map[string]string{"/etc/straum": "755 root:straum", "/etc/straum/straum.yaml": "640 root:straum", "/var/lib/straum": "700 straum:straum", "/var/lib/straum/kept": "644 root:root"}
	r.is(changed)
	if after := r.run("pgrep -x straum"); after != before || !serves() {
		t.Errorf("the gateway did not go on through the upgrade: process %s, then %s", before, after)
	}
	if out := r.run("straum status"); !strings.Contains(out, "straum v"+oldVersion) { // the new program asks the one from before
		t.Errorf("straum status says %q", out)
	}
	r.run("kill -TERM " + before)
	r.await("it has stopped", func() bool { _, err := r.try("pgrep -x straum"); return err != nil })
	r.run(start)
	r.await("it serves after the upgrade", func() bool {
		out, _ := r.try("curl -s -m 5 http://127.0.0.1:8080/")
		return strings.Contains(out, "and mine")
	})
	r.run("pkill -TERM -x straum") // of this root's processes alone
	r.await("it has stopped", func() bool { _, err := r.try("pgrep -x straum"); return err != nil })

	r.run("dpkg -r straum")
	changed["/usr/bin/straum"] = ""
	changed["/usr/lib/systemd/system/straum.service"] = ""
	changed["/var/log/straum/access.log"] = "600 straum:straum"
	r.is(changed)
	if out := r.run("dpkg-query -W -f '${db:Status-Status}' straum; getent passwd straum"); out != "config-files"+account {
		t.Errorf("after removing: %q", out)
	}

	r.run("dpkg --force-confold -i /root/new.deb")
	r.is(map[string]string{"/etc/straum": "755 root:straum", "/usr/bin/straum": "755 root:root"})

	r.run("dpkg -P straum")
	r.is(map[string]string{
		"/etc/straum/straum.yaml":           "",
		"/etc/straum/straum.yaml.dpkg-dist": "",
		"/etc/straum/conf.d/mine.yaml":      "644 root:root", // the operator made it
		"/var/lib/straum":                   "",
		"/var/log/straum":                   "",
		"/usr/share/doc/straum":             "",
		"/etc/systemd/system/multi-user.target.wants/straum.service":   "",
		"/var/lib/systemd/deb-systemd-helper-enabled/straum.service.*": "",
	})
	if out := r.run("dpkg-query -W -f '${db:Status-Status}' straum 2>/dev/null || :; getent passwd straum"); out != account && out != "not-installed"+account {
		t.Errorf("after purging: %q", out)
	}
	// A configuration that nobody has touched is replaced by the new one's, and stays as closed as it was.
	r.run("rm -r /etc/straum && dpkg -i /root/old.deb && grep -q 'Only' /etc/straum/straum.yaml && dpkg -i /root/new.deb")
	if out := r.run("cat /etc/straum/straum.yaml"); strings.Contains(out, hint) {
		t.Errorf("the old configuration is still there: %q", out)
	}
	r.is(fresh)
	// Without anything of an operator, nothing is left.
	r.run("dpkg -P straum")
	r.is(map[string]string{"/etc/straum": "", "/var/lib/straum": "", "/var/log/straum": ""})
}
