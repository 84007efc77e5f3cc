// Drives the real supabase-js through every way to sign in, and prints what it met.
// Arguments: package, base address, public key.
const [name, base, key] = process.argv.slice(2)
const { createClient } = await import(name)

const site = 'http://localhost:5173'
const seen = {}
const note = (step, value) => { seen[step] = value }

const memory = () => {
  const kept = new Map()
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => { kept.set(name, value) },
    removeItem: (name) => { kept.delete(name) },
  }
}
const client = (flowType = 'pkce') => createClient(base, key, {
  auth: { flowType, storage: memory(), autoRefreshToken: false, detectSessionInUrl: false },
  // Node 20 has no WebSocket, and none is needed here.
  realtime: { transport: class {} },
})
const good = ({ data, error }) => {
  if (error) throw new Error(`${error.status} ${error.code}: ${error.message}`)
  return data
}
const refused = ({ error }) => error
  ? { name: error.name, status: error.status, code: error.code, message: error.message }
  : 'NOT REFUSED'

// The newest mail to an address whose subject begins so.
const mailTo = async (email, subject) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const answer = await fetch(`${base}/dev/inbox.json?to=${encodeURIComponent(email)}`)
    const { mails } = await answer.json()
    const mail = mails.find((mail) => mail.subject.startsWith(subject))
    if (mail) {
      return {
        link: mail.text.match(/http\S+\/auth\/v1\/verify\S+/)?.[0],
        code: mail.text.match(/code: (\d{6})/)?.[1],
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`no mail "${subject}" came`)
}
// Follows a mailed link as a browser does, and stops at the page that it leads to.
const follow = async (link) => {
  const answer = await fetch(link, { redirect: 'manual' })
  const url = new URL(answer.headers.get('location'))
  return { status: answer.status, page: url.origin + url.pathname, query: url.searchParams, fragment: new URLSearchParams(url.hash.slice(1)) }
}

const email = 'grace@example.com'
const first = 'correct horse battery'
const second = 'staple of the battery'

const a = client()
const signedUp = good(await a.auth.signUp({
  email, password: first, options: { data: { display_name: 'Grace' }, emailRedirectTo: `${site}/auth/callback` },
}))
note('sign up', { session: Boolean(signedUp.session), name: signedUp.user.user_metadata.display_name })
note('sign up again', refused(await client().auth.signUp({ email, password: first })))
note('weak password', refused(await client().auth.signUp({ email: 'weak@example.com', password: 'password1' })))
note('anonymous', refused(await client().auth.signInAnonymously()))

const b = client()
note('wrong password', refused(await b.auth.signInWithPassword({ email, password: 'not the one' })))
const signedIn = good(await b.auth.signInWithPassword({ email, password: first }))
note('sign in', { type: signedIn.session.token_type, lives: signedIn.session.expires_in })
note('get user', good(await b.auth.getUser()).user.email)
note('get claims', good(await b.auth.getClaims()).claims.email)
const updated = good(await b.auth.updateUser({ data: { plan: 'pro', display_name: null } })).user
note('update user', updated.user_metadata)

const before = (await b.auth.getSession()).data.session.refresh_token
const refreshed = good(await b.auth.refreshSession()).session
note('refresh', { rotated: refreshed.refresh_token !== before })

// Two tabs with one token.
const [one, two] = await Promise.all([client(), client()].map((tab) =>
  tab.auth.refreshSession({ refresh_token: refreshed.refresh_token })))
note('two refreshes of one token', [one, two].map((tab) => Boolean(good(tab).session)))
note('unknown refresh token', refused(await client().auth.refreshSession({ refresh_token: 'made-up' })))

// A forgotten password: the link gives a code that only the asking client can use.
const forgetful = client()
good(await forgetful.auth.resetPasswordForEmail(email, { redirectTo: `${site}/auth/callback` }))
const reset = await follow((await mailTo(email, 'Choose a new password')).link)
note('reset link', { status: reset.status, page: reset.page, hasType: reset.query.has('type') })
note('code at another client', Boolean((await client().auth.exchangeCodeForSession(reset.query.get('code'))).error))
good(await forgetful.auth.exchangeCodeForSession(reset.query.get('code')))
good(await forgetful.auth.updateUser({ password: second }))
note('same password', refused(await forgetful.auth.updateUser({ password: second })))
note('code again', Boolean((await forgetful.auth.exchangeCodeForSession(reset.query.get('code'))).error))
note('old password', refused(await client().auth.signInWithPassword({ email, password: first })))
note('new password', Boolean(good(await client().auth.signInWithPassword({ email, password: second })).session))
note('other log-ins after it', refused(await b.auth.refreshSession()).code)
note('unknown address', refused(await client().auth.resetPasswordForEmail('nobody@example.com')))

// Magic links: by PKCE, with tokens behind the #, by code, and with the link's secret.
const guest = 'alan@example.com'
const pkce = client()
good(await pkce.auth.signInWithOtp({ email: guest, options: { emailRedirectTo: `${site}/auth/callback`, data: { full_name: 'Alan' } } }))
const magic = await follow((await mailTo(guest, 'Sign in to DayGen')).link)
note('magic link by pkce', good(await pkce.auth.exchangeCodeForSession(magic.query.get('code'))).user.user_metadata.full_name)

const second_guest = 'ada@example.com'
const implicit = client('implicit')
good(await implicit.auth.signInWithOtp({ email: second_guest }))
const open = await follow((await mailTo(second_guest, 'Sign in to DayGen')).link)
good(await implicit.auth.setSession({ access_token: open.fragment.get('access_token'), refresh_token: open.fragment.get('refresh_token') }))
note('magic link with tokens', good(await implicit.auth.getUser()).user.email)
note('its type', open.fragment.get('type'))

const third_guest = 'barbara@example.com'
const typed = client('implicit')
good(await typed.auth.signInWithOtp({ email: third_guest }))
const mail = await mailTo(third_guest, 'Sign in to DayGen')
const wrong = mail.code === '000000' ? '111111' : '000000'
note('wrong code', refused(await typed.auth.verifyOtp({ email: third_guest, token: wrong, type: 'email' })))
note('right code', Boolean(good(await typed.auth.verifyOtp({ email: third_guest, token: mail.code, type: 'email' })).session))
const used = await follow(mail.link)
note('link after its code', { page: used.page, error: used.query.get('error_code') })

const fourth_guest = 'edsger@example.com'
const hashed = client('implicit')
good(await hashed.auth.signInWithOtp({ email: fourth_guest }))
const secret = new URL((await mailTo(fourth_guest, 'Sign in to DayGen')).link).searchParams.get('token')
note('token hash', good(await hashed.auth.verifyOtp({ token_hash: secret, type: 'magiclink' })).user.email)
note('no account wanted', refused(await client().auth.signInWithOtp({ email: 'unseen@example.com', options: { shouldCreateUser: false } })))

// A new address counts once its link was followed.
const moved = 'alan.new@example.com'
const asked = good(await pkce.auth.updateUser({ email: moved }, { emailRedirectTo: `${site}/auth/callback` })).user
note('new address asked for', { email: asked.email, next: asked.new_email })
const changed = await follow((await mailTo(moved, 'Confirm your new address')).link)
note('new address', good(await pkce.auth.exchangeCodeForSession(changed.query.get('code'))).user.email)
note('taken address', refused(await pkce.auth.updateUser({ email })))
note('resend', refused(await client().auth.resend({ type: 'signup', email: guest })))

const oauth = good(await client().auth.signInWithOAuth({ provider: 'google', options: { redirectTo: `${site}/auth/callback`, skipBrowserRedirect: true } }))
const away = await follow(oauth.url)
note('google without a client id', { page: away.page, error: away.query.get('error_code') })

// Signing out: three log-ins, each scope.
const tabs = async () => Promise.all([1, 2, 3].map(async () => {
  const tab = client()
  good(await tab.auth.signInWithPassword({ email, password: second }))
  return tab
}))
for (const scope of ['local', 'others', 'global']) {
  const [x, y, z] = await tabs()
  const sessions = await Promise.all([x, y, z].map(async (tab) => (await tab.auth.getSession()).data.session.refresh_token))
  const { error } = await x.auth.signOut({ scope })
  const probes = await Promise.all(sessions.map(async (refresh_token) => !(await client().auth.refreshSession({ refresh_token })).error))
  note(`sign out ${scope}`, { error, alive: probes })
}

console.log(JSON.stringify(seen))
