// The npm `samlp` identity provider, for tests: node idp.cjs PORT DIR AUDIENCE RECIPIENT; prints "up" when it listens.
// DIR holds cert.pem and key.pem. /assertion signs the assertion, /response the response around it; everyone is ada.
// /sso answers requests that are signed by the key of DIR/sp.pem.
const express = require('express'), samlp = require('samlp'), fs = require('fs');
const [, , port, dir, audience, recipient] = process.argv;
const base = `http://127.0.0.1:${port}`;
class Profile {
  constructor(user) { this.user = user; }
  getClaims() { return { email: this.user.email, groups: this.user.groups }; }
  getNameIdentifier() {
    return { nameIdentifier: this.user.email, nameIdentifierFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress' };
  }
}
function mapper(user) { return new Profile(user); }
mapper.prototype.metadata = [];
const options = (signResponse) => ({
  issuer: `${base}/metadata`, cert: fs.readFileSync(`${dir}/cert.pem`), key: fs.readFileSync(`${dir}/key.pem`),
  signatureAlgorithm: 'rsa-sha256', digestAlgorithm: 'sha256', signResponse, audience, recipient, destination: recipient,
  getPostURL: (a, s, r, done) => done(null, recipient), profileMapper: mapper,
  getUserFromRequest: () => ({ email: 'ada@example.test', groups: ['dev', 'sre'] }),
});
const app = express();
app.get('/assertion', samlp.auth(options(false)));
app.get('/response', samlp.auth(options(true)));
app.get('/sso', (req, res, next) => {
  samlp.auth({ ...options(false), signingCert: fs.readFileSync(`${dir}/sp.pem`, 'utf8') })(req, res, next);
});
app.get('/metadata', samlp.metadata({ ...options(false), redirectEndpointPath: '/sso', postEndpointPath: '/sso' }));
app.listen(Number(port), '127.0.0.1', () => console.log('up'));
