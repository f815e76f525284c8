-- Tokens as nginx checks them: RS256 by OpenSSL; issuer, audience and expiry. What can be done once is done once, and
-- no string is made that is not needed: each is copied and hashed.
local cjson, pkey, digest = require "cjson.safe", require "openssl.pkey", require "openssl.digest"
local lrucache, base64 = require "resty.lrucache", require "ngx.base64"
local match, now, decode, unbase64 = string.match, ngx.time, cjson.decode, base64.decode_base64url

local token, public = {}, nil
local kept = lrucache.new(65536) -- as many as Straum remembers

function token.key(file)
  local f = assert(io.open(file))
  public = pkey.new(f:read("*a"))
  f:close()
end

-- verified gives the claims of the good token in an Authorization field, and nil for anything else.
function token.verified(field)
  local head, body, signature = match(field, "^Bearer ([^.]+)%.([^.]+)%.([^.]+)$")
  local text = head and unbase64(head)
  local header = text and decode(text)
  if type(header) ~= "table" or header.alg ~= "RS256" or header.crit then return nil end
  text = unbase64(signature)
  if not text or not public:verify(text, digest.new("sha256"):update(head, ".", body)) then return nil end
  text = unbase64(body)
  local claims = text and decode(text)
  if type(claims) ~= "table" or claims.iss ~= "@ISSUER@" or claims.aud ~= "@AUDIENCE@"
    or type(claims.exp) ~= "number" or claims.exp <= now() then return nil end
  return claims
end

-- remembered verifies a token once; after that it is a look into the worker's own memory until the token expires.
function token.remembered(field)
  local claims = kept:get(field)
  if claims then return claims end
  claims = token.verified(field)
  if claims then kept:set(field, claims, claims.exp - now()) end
  return claims
end

function token.check(claims_of)
  local field = ngx.var.http_authorization
  local claims = field and claims_of(field)
  if not claims then
    ngx.header["WWW-Authenticate"] = 'Bearer realm="bench"'
    return ngx.exit(401)
  end
  ngx.var.caller = claims.sub
  ngx.req.set_header("X-Auth-Subject", claims.sub)
end

return token
