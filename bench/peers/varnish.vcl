# Varnish as a gateway that caches. Everything else is left as it comes.
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@KEEPABLE@"; }
