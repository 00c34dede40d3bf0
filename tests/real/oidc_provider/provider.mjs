// The certified `oidc-provider`, for tests: CLIENT_SECRET=… node provider.mjs PORT; prints "up" when it listens.
// Client `job` gets JWT access tokens for the resource urn:ostiary (client credentials); client `tool` gets ID tokens of
// a user who is logged in and consents without being asked (authorization code with PKCE), and so does client `gateway`,
// which comes back to LOGIN_CALLBACK.
import { Provider } from 'oidc-provider';
import crypto from 'node:crypto';

const port = Number(process.argv[2]);
const secret = process.env.CLIENT_SECRET;
const issuer = `http://127.0.0.1:${port}`;
const key = (type, options, alg) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig',
});
const client = (id, grants, responses, alg) => ({
  client_id: id, client_secret: secret, grant_types: grants, response_types: responses,
  redirect_uris: responses.length ? ['http://127.0.0.1:9/callback'] : [], id_token_signed_response_alg: alg,
});

const provider = new Provider(issuer, {
  jwks: { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] },
  clients: [
    client('job', ['client_credentials'], [], 'ES256'),
    client('tool', ['authorization_code'], ['code'], 'RS256'),
    { ...client('gateway', ['authorization_code'], ['code'], 'ES256'),
      redirect_uris: [process.env.LOGIN_CALLBACK ?? 'http://127.0.0.1:9/callback'] },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => (client.clientId === 'job' ? 'urn:ostiary' : undefined),
      getResourceServerInfo: () => ({
        scope: 'use', audience: 'ostiary', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  scopes: ['openid', 'email', 'groups'],
  extraTokenClaims: () => ({ repository: 'acme/shop' }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.test`, email_verified: true, groups: ['dev', 'sre'] }),
  }),
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
  let result = { login: { accountId: 'ada' } };
  if (prompt.name === 'consent') {
    const grant = new provider.Grant({ accountId: 'ada', clientId: params.client_id });
    grant.addOIDCScope('openid email groups');
    result = { consent: { grantId: await grant.save() } };
  }
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, result);
});

const server = provider.listen(port, '127.0.0.1', () => console.log('up'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
