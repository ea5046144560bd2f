// deno-fmt-ignore-file
// deno-lint-ignore-file
/** The API's types. Written by `deno task client` from docs/openapi.json; never by hand. */
export interface paths {
    "/api/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Liveness: the process answers
         * @description Touches nothing else, costs nothing and is never limited.
         */
        get: operations["getHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Readiness: the store takes writes, background work is done, the backends answered when last used
         * @description Reads what is known and never spends money.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Figures for a monitoring system
         * @description OpenMetrics text, or Prometheus' older format for who accepts `text/plain` and not the newer one: requests, model calls, payments, queue, store, process. Names and labels are fixed: nothing in it is about a single payer. Sums of money are in it only where the operator has set `METRICS_MONEY=on`. Collected at most once a second.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Create a job
         * @description Answers with the invoice of the evaluation fee. When it is paid the request is evaluated; when it is accepted, `GET /api/jobs/{id}` shows the work invoice. With a `lightningAddress` what is owed in the end goes there by itself: it is tried for a day, and can be claimed in every other way. Send an `Idempotency-Key` to be able to repeat the call safely: the same key and body give the same job for 24 hours.
         */
        post: operations["createJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/jobs/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a job
         * @description State, the invoice to pay, the answer, what it cost and what is owed back. Reading moves nothing.
         */
        get: operations["getJob"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/jobs/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a job
         * @description Server-sent events: `state` (the present one first), `result_chunk` while the answer is written (`result_restart` when it begins anew), and at the end `result` and `cost_ledger`. The stream ends with the job.
         */
        get: operations["followJob"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/jobs/{id}/refund": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Take the difference back
         * @description Pays what is owed to an invoice of exactly that amount (`costLedger.refundAmountSats`), or to a Lightning address. The invoice may be for less than that by 10 sats or 5 %, whichever is more: what it leaves pays the routing fee, and what the fee does not use goes to the pool. Once claimed, every repeat is answered 409 with the original `refundPaymentHash`; after a definite failure the claim is open again. Less than `REFUND_DUST_SATS` (default 1) is not refunded. What nobody claims within `REFUND_CLAIM_DAYS` (30) goes to the pool that serves trusted keys free, and the refund says `expired`.
         */
        post: operations["refundJob"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Open a session
         * @description Answers with the invoice of the deposit (`SESSION_MIN_DEPOSIT_SATS` to `SESSION_MAX_DEPOSIT_SATS`, 100 to 10,000). When it is paid, `GET /api/sessions/{id}` shows the macaroon. With a `lightningAddress` the balance goes there by itself when the session is closed or expires: it is tried for a day, and can be claimed in every other way.
         */
        post: operations["createSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a session
         * @description State, balance, what is pending. Reading moves nothing.
         */
        get: operations["getSession"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/request": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Ask
         * @description Evaluates, works and charges what it really cost. The worst case is held while it runs and the rest comes back. With an `Idempotency-Key` a repeat gets the same answer, charged once.
         */
        post: operations["sendSessionRequest"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/topup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Top up
         * @description One top-up is pending at a time; 409 shows it.
         */
        post: operations["topUpSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/close": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Close and take the balance back
         * @description Pays the whole balance to an invoice of exactly that amount, or to a Lightning address. The invoice may be for less than that by 10 sats or 5 %, whichever is more: what it leaves pays the routing fee, and what the fee does not use goes to the pool. The balance of an expired session is claimed the same way. Without either the session is closed and its balance goes to the `lightningAddress` that was left with it, or else waits to be claimed by a second call. Once claimed, every repeat is answered 409 with the original `refundPaymentHash`; after a definite failure the claim is open again. Less than `REFUND_DUST_SATS` (default 1) is not refunded. What nobody claims within `REFUND_CLAIM_DAYS` (30) goes to the pool that the free tier is served from.
         */
        post: operations["closeSession"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/requests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The session's requests, newest first
         * @description What each cost, in pages. Only for the token the session was opened with, or the key that owns it.
         */
        get: operations["listSessionRequests"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/requests/{requestId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * One request with its result
         * @description The same as when it was answered, for as long as the session is kept. A narrowed token reads its own requests only.
         */
        get: operations["getSessionRequest"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/sessions/{id}/macaroon": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * The macaroon again
         * @description For whoever can prove the deposit by its preimage, or is signed in with the key that owns the session. With `rotate` every token of the session, narrowed ones included, stops working and a new one is answered.
         */
        post: operations["getSessionMacaroon"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/chat/completions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * A chat completion
         * @description As OpenAI's: the macaroon is the API key (`Authorization: Bearer <macaroon>`). Without one, 402 with an L402 challenge: pay it and repeat the request with the token. With `stream`, `chat.completion.chunk` events, then `[DONE]`. A parameter that cannot be honoured is refused by name.
         */
        post: operations["createChatCompletion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Models and their prices
         * @description OpenAI's list, with what a thousand tokens cost now in satoshis. Needs no credential.
         */
        get: operations["listModels"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * One model and its prices
         * @description 404 for a model that is not served here.
         */
        get: operations["getModel"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Order a Bitcoin and Lightning node
         * @description Answers with one invoice. When it is paid a machine is made that runs Bitcoin, LND and LNbits, and its keys are handed over once, at `GET /api/bootstrap/{id}`. Should the provider fail, everything that was made is destroyed and all of the fee is owed back. Send your own SSH public key, so that no private key exists here. What the account cannot make just now is refused before an invoice is made. Send an `Idempotency-Key` to be able to repeat the call safely.
         */
        post: operations["createBootstrap"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/first-boot": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * A node reports its first boot
         * @description For the nodes themselves: `Authorization: Bearer` with the one-time token of the node's user data, `X-Timmy-Signature` with the base64 of `ssh-keygen -Y sign -n timmy-first-boot` over the body, by the key that the body names.
         */
        post: operations["reportFirstBoot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a node
         * @description State, named steps with their times, and when it is ready the credentials. The first call after that gets the private key (when it was made here), of many at once exactly one; for ten minutes whoever shows the invoice's preimage gets it again (`POST …/key`), then it is erased. `ready` means made and booted; the chain takes one to two weeks to sync.
         */
        get: operations["getBootstrap"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a node as events
         * @description Server-sent events: `state` with the step that is under way and when it began, the present one first. No secret is in them. The stream ends with the last state.
         */
        get: operations["followBootstrap"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}/key": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Fetch the private key again
         * @description An answer can be lost on its way: until ten minutes after the key was first shown, whoever shows the preimage gets it.
         */
        post: operations["fetchBootstrapKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}/ack": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Say that the key arrived
         * @description The private key is erased here at once.
         */
        post: operations["acknowledgeBootstrapKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel
         * @description Possible until the machine is being made, and again when a machine did not report in time (`ready_unconfirmed`). What was made is destroyed, then everything that was paid is owed back.
         */
        post: operations["cancelBootstrap"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bootstrap/{id}/refund": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Take the fee back
         * @description By the rules of a job's refund, once the provider says that nothing is left of what was made.
         */
        post: operations["refundBootstrap"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/challenge": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin to sign in
         * @description A random nonce, good once and for five minutes, at this instance alone. Sign it with your Nostr key and send the event to `POST /api/identity/verify`. Nothing is stored.
         */
        post: operations["createIdentityChallenge"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sign in
         * @description Send the nonce of `POST /api/identity/challenge` back in an event that you signed: kind 27235 (or 22242), the nonce as its `content` or as a `["challenge", nonce]` tag, `created_at` within five minutes. A `u` (or `relay`) tag is not required; when there is one, it must name this server, so that no other site can use what you sign there.
         *
         *     In a browser with a NIP-07 signer:
         *
         *     ```js
         *     const post = async (path, body) => {
         *       const answer = await fetch(path, {
         *         method: "POST",
         *         headers: { "content-type": "application/json" },
         *         body: JSON.stringify(body),
         *       });
         *       if (!answer.ok) throw new Error(await answer.text());
         *       return await answer.json();
         *     };
         *     const { nonce } = await post("/api/identity/challenge", {});
         *     const event = await window.nostr.signEvent({
         *       kind: 27235,
         *       created_at: Math.floor(Date.now() / 1000),
         *       tags: [["u", location.origin], ["method", "POST"]],
         *       content: nonce,
         *     });
         *     const { nostr_token } = await post("/api/identity/verify", { event });
         *     const me = await fetch("/api/identity/me", { headers: { "X-Nostr-Token": nostr_token } });
         *     console.log(await me.json());
         *     ```
         *
         *     `examples/sign-in.ts` does the same with a key of its own, without a browser.
         *
         *     The token then goes into the header `X-Nostr-Token` of any route, or as `nostr_token` into the body of those that have the field. Instead of a token, each single request can be signed as NIP-98 has it (`Authorization: Nostr …`). A token or event that is wrong or expired is 401 everywhere; it never counts as none.
         */
        post: operations["verifyIdentity"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who you are here
         * @description How far your key is trusted, and what the pool still pays for it today. Reading moves nothing.
         */
        get: operations["getIdentity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Your jobs, newest first
         * @description Every job that was created with your key, unpaid ones included: they are `expired` after a while.
         */
        get: operations["listIdentityJobs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Your sessions, newest first
         * @description Every session that was opened with your key. It may be used and closed with the key alone, and `POST /api/sessions/{id}/macaroon` shows its macaroon again.
         */
        get: operations["listIdentitySessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/identity/bootstraps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Your nodes, newest first
         * @description Every node that was ordered with your key, those that nobody paid included for a day.
         */
        get: operations["listIdentityBootstraps"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/estimate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What would this cost?
         * @description Answers before any payment and writes nothing. With a key (`X-Nostr-Token`, or a NIP-98 event, whose id alone is then remembered, since it can be used once) it also says how the free tier would serve a job of this request.
         */
        get: operations["getEstimate"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/free-tier": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The pool and the budgets
         * @description What keys that have earned it are served from, and how much each may take a day. Reading moves nothing.
         */
        get: operations["getFreeTier"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/free-tier/donate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Give to the pool
         * @description Answers with an invoice. All that is paid to it goes to the pool, in the commit that notices the payment, and is not given back. An invoice that nobody pays expires and is forgotten. No key is needed, and none earns trust by it.
         */
        post: operations["donate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/demo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Try it for nothing
         * @description A short answer (at most 150 tokens), paid by the operator: 5 an hour for each address (IPv6: for each /64) and `DEMO_DAILY_LIMIT` (50) a UTC day for all together; 429 says when there is one again. Every try counts, also one that the model fails to answer (503). With a limit of 0 there is no demo (404). Unlike other GETs it is not to be repeated or cached.
         */
        get: operations["getDemo"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/attestation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Which machine is this, and which program?
         * @description Evidence of the hardware for this moment, this build and this instance's key. Believe it only after checking it: `timmyctl attest verify URL --policy FILE` does. Without a TEE it says `none`, which proves nothing about the machine.
         */
        get: operations["getAttestation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/build": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Which build is this?
         * @description What the program says of itself. Compare `sha256` with the release's `SHA256SUMS`.
         */
        get: operations["getBuild"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/refunds/claim": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Take back what a payment is owed, with its preimage
         * @description For who paid and lost the id, and for payments that this instance took just before it was restored from a backup. The preimage is the proof of payment that the payer's wallet keeps. Others on the way of a payment know it too, so it moves nothing within 72 hours of the end (409 `preimage_too_early` says from when), nor where the record has a key, a Lightning address or a macaroon (409 `preimage_not_enough` says which). Otherwise it pays as `POST /api/jobs/{id}/refund` does.
         */
        post: operations["claimRefundByPreimage"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/lightning/webhook": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * A wallet says that something was paid
         * @description What LNbits posts when `LNBITS_WEBHOOK_URL` names this address. Nothing in it is believed: it makes Timmy ask the wallet about that payment hash, and a hash that is none of ours is ignored. The answer is the same either way.
         */
        post: operations["receiveLightningWebhook"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/dev/stub/pay/{paymentHash}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Pay one of this instance's own invoices
         * @description For trying things out; not there in production. The simulated wallet settles it; with LNbits the wallet pays it.
         */
        post: operations["payStubInvoice"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/dev/stub/invoice": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * An invoice of an imaginary payer
         * @description For claiming a refund while trying things out; only with the simulated wallet, and not there in production.
         */
        post: operations["makeStubInvoice"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Health: {
            /** @enum {string} */
            status: "ok";
            version: string;
        };
        Readiness: {
            ready: boolean;
            checks: components["schemas"]["ReadinessCheck"][];
        };
        ReadinessCheck: {
            name: string;
            ok: boolean;
            detail?: string;
            /** @description What was looked at, such as the queue's depth. */
            facts?: {
                [key: string]: string | number | boolean;
            };
        };
        NotReady: {
            ready: boolean;
            checks: components["schemas"]["ReadinessCheck"][];
            error: {
                /**
                 * @description Stable; compare this one.
                 * @example validation_failed
                 */
                code: string;
                /** @description What was wrong and what to do, for people. */
                message: string;
                /** @description Also in the X-Request-Id header; name it when you ask for help. */
                requestId: string;
                details?: {
                    [key: string]: unknown;
                };
            };
        };
        JobCreated: {
            /** @description A capability: whoever holds it can read the answer and claim the refund. Keep it. */
            jobId: string;
            state: string;
            /** Format: date-time */
            createdAt: string;
            evalInvoice: components["schemas"]["Invoice"];
            /**
             * @description A Lightning address (LUD-16)
             * @example name@example.com
             */
            lightningAddress?: string;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        Invoice: {
            /**
             * @description BOLT11 invoice
             * @example lnbc100n1…
             */
            paymentRequest: string;
            amountSats: number;
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            paymentHash: string;
            /** Format: date-time */
            expiresAt: string;
        };
        Error: {
            error: {
                /**
                 * @description Stable; compare this one.
                 * @example validation_failed
                 */
                code: string;
                /** @description What was wrong and what to do, for people. */
                message: string;
                /** @description Also in the X-Request-Id header; name it when you ask for help. */
                requestId: string;
                details?: {
                    [key: string]: unknown;
                };
            };
        };
        CreateJob: {
            /**
             * @description The question or task
             * @example What is a hold invoice?
             */
            request: string;
            /** @description Who asks, after signing in; the same as the header X-Nostr-Token */
            nostr_token?: string;
            /**
             * @description A Lightning address (LUD-16) that what is owed in the end is paid to by itself. It is asked at once whether it can be paid
             * @example name@example.com
             */
            lightningAddress?: string;
            model?: null;
        };
        Job: {
            jobId: string;
            /** @enum {string} */
            state: "awaiting_eval_payment" | "evaluating" | "awaiting_work_payment" | "executing" | "complete" | "rejected" | "failed" | "expired";
            /** Format: date-time */
            createdAt: string;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            free_tier?: components["schemas"]["FreeTierDecision"];
            /** @description What the pool paid of the actual cost */
            absorbed_sats?: number;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
            /**
             * @description Where what is owed goes by itself
             * @example name@example.com
             */
            lightningAddress?: string;
            evalInvoice?: components["schemas"]["Invoice"];
            workInvoice?: components["schemas"]["Invoice"];
            pricingBreakdown?: {
                /** @description The whole quote, infrastructure and margin included (USD) */
                estimatedCostUsd: number;
                marginPct: number;
                btcPriceUsd: number;
            };
            reason?: string;
            result?: string;
            /** @enum {string} */
            finishReason?: "stop" | "length";
            errorMessage?: string;
            /** @description The provider broke off: the answer is what had been delivered, and that alone was charged */
            interrupted?: boolean;
            costLedger?: components["schemas"]["CostLedger"];
        };
        /** @description What was decided for the key that asked, once it was accepted */
        FreeTierDecision: {
            /**
             * @description free: served from the pool; partial: the pool pays a part, the payer the rest; gate: paid in full
             * @enum {string}
             */
            serve: "free" | "partial" | "gate";
            /** @description What the pool was to pay of the quote */
            absorbSats: number;
            /** @description What the payer was to pay */
            chargeSats: number;
        };
        CostLedger: {
            actualInputTokens: number;
            actualOutputTokens: number;
            totalTokens: number;
            /** @description What the model cost, before infrastructure and margin (USD) */
            actualCostUsd: number;
            actualAmountSats: number;
            /** @description What the work invoice asked */
            workAmountSats: number;
            /** @description What was paid for the work; the evaluation fee is beside it */
            paidSats: number;
            chargedSats: number;
            refundAmountSats: number;
            /** @enum {string} */
            refundState: "not_applicable" | "pending" | "paying" | "paid" | "expired";
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string | null;
            /** Format: date-time */
            refundClaimUntil: string | null;
            /** @description Why the last payout failed; the claim is open again */
            refundFailure: string | null;
            /** @description The latest tries to pay it to a Lightning address, oldest first */
            refundAttempts: components["schemas"]["RefundAttempt"][];
            absorbedSats: number;
            marginPct: number;
            btcPriceUsd: number;
            btcPriceSource: string;
            /** @description This request's share of the infrastructure, before margin (USD) */
            infraUsd: number;
            /** @enum {string} */
            usageSource: "api" | "estimated";
        };
        RefundAttempt: {
            /** Format: date-time */
            at: string;
            way: string;
            ok: boolean;
            /** @description Why it failed. What stands in quotes the address' server said */
            reason: string | null;
        };
        Refund: {
            /** @enum {string} */
            refundState: "paid" | "paying";
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string;
            refundAmountSats: number;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
        };
        ClaimRefund: {
            /** @description A BOLT11 invoice for the amount owed, less what you leave for the routing fee */
            invoice?: string;
            /**
             * @description A Lightning address (LUD-16)
             * @example name@example.com
             */
            lightningAddress?: string;
        };
        SessionCreated: {
            /** @description A capability: until the macaroon is first used, it shows the macaroon. Keep it. */
            sessionId: string;
            /** @enum {string} */
            state: "awaiting_payment" | "active" | "paused" | "expired" | "closed";
            invoice: components["schemas"]["Invoice"];
            minimumBalanceSats: number;
            /**
             * @description A Lightning address (LUD-16)
             * @example name@example.com
             */
            lightningAddress?: string;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        CreateSession: {
            /**
             * @description Whole sats
             * @example 500
             */
            amount_sats: number;
            /** @description Who asks, after signing in; the same as the header X-Nostr-Token */
            nostr_token?: string;
            /**
             * @description A Lightning address (LUD-16) that what is owed in the end is paid to by itself. It is asked at once whether it can be paid
             * @example name@example.com
             */
            lightningAddress?: string;
        };
        Session: {
            /** @description A capability: until the macaroon is first used, it shows the macaroon. Keep it. */
            sessionId: string;
            /** @enum {string} */
            state: "awaiting_payment" | "active" | "paused" | "expired" | "closed";
            /** Format: date-time */
            createdAt: string;
            /** @description What can be spent now */
            balanceSats: number;
            /** @description Set aside for requests that run now; the rest of it comes back */
            heldSats: number;
            spentSats: number;
            /** @description Below this the session is paused until it is topped up */
            minimumBalanceSats: number;
            /** Format: date-time */
            expiresAt: string | null;
            invoice?: components["schemas"]["Invoice"];
            pendingTopup?: components["schemas"]["Invoice"];
            /** @description From payment until it is first used. Afterwards: POST /api/sessions/{id}/macaroon with the preimage */
            macaroon?: string;
            /**
             * @description Where its balance goes by itself when it ends
             * @example name@example.com
             */
            lightningAddress?: string;
            refund?: components["schemas"]["SessionRefund"];
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        SessionRefund: {
            /** @enum {string} */
            refundState: "not_applicable" | "pending" | "paying" | "paid" | "expired";
            refundAmountSats: number;
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string | null;
            /** Format: date-time */
            refundClaimUntil: string | null;
            /** @description The latest tries to pay it to a Lightning address, oldest first */
            refundAttempts: components["schemas"]["RefundAttempt"][];
        };
        SessionRequest: {
            requestId: string;
            /** Format: date-time */
            at: string;
            /**
             * @description `rejected` pays its evaluation only, `failed` nothing, `interrupted` what was written until then
             * @enum {string}
             */
            state: "running" | "complete" | "rejected" | "failed" | "interrupted";
            model: string;
            debitedSats: number;
            /** @description What was set aside for it; while it runs it is missing in the balance */
            heldSats: number;
            result?: string;
            /** @enum {string} */
            finishReason?: "stop" | "length";
            reason?: string;
            errorMessage?: string;
            usage?: components["schemas"]["RequestUsage"];
            evaluationUsage?: components["schemas"]["RequestUsage"];
            free_tier?: components["schemas"]["FreeTierDecision"] & unknown;
            /** @description What the pool paid of it */
            absorbed_sats?: number;
            /** @description The balance right after it (sats) */
            balanceRemaining?: number;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        RequestUsage: {
            inputTokens: number;
            outputTokens: number;
            /** @enum {string} */
            source: "api" | "estimated";
        };
        SessionAsk: {
            /**
             * @description The question or task
             * @example What is a hold invoice?
             */
            request: string;
            /** @description Who asks, after signing in; the same as the header X-Nostr-Token */
            nostr_token?: string;
            model?: null;
        };
        TopUpOffered: {
            invoice: components["schemas"]["Invoice"];
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        TopUp: {
            /**
             * @description Whole sats
             * @example 500
             */
            amount_sats: number;
        };
        SessionClosed: {
            /** @enum {string} */
            state: "awaiting_payment" | "active" | "paused" | "expired" | "closed";
            /** @enum {string} */
            refundState: "not_applicable" | "pending" | "paying" | "paid" | "expired";
            refundAmountSats: number;
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string | null;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        CloseSession: {
            /** @description A BOLT11 invoice for `balanceSats`, less what you leave for the routing fee */
            invoice?: string;
            /**
             * @description A Lightning address (LUD-16)
             * @example name@example.com
             */
            lightningAddress?: string;
        };
        SessionHistory: {
            requests: {
                requestId: string;
                /** Format: date-time */
                at: string;
                /** @enum {string} */
                state: "running" | "complete" | "rejected" | "failed" | "interrupted";
                debitedSats: number;
                absorbed_sats?: number;
            }[];
            /** @description Send it as `after` for the next page */
            next?: string;
        };
        Macaroon: {
            macaroon: string;
            /**
             * @description How far the key that asked, or owns this, is trusted now; anonymous without one
             * @enum {string}
             */
            trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        ProvePayment: {
            preimage?: string;
            /** @description Who asks, after signing in; the same as the header X-Nostr-Token */
            nostr_token?: string;
            rotate?: boolean;
        };
        ChatCompletion: {
            id: string;
            /** @enum {string} */
            object: "chat.completion";
            created: number;
            model: string;
            choices: {
                index: number;
                message: {
                    /** @enum {string} */
                    role: "assistant";
                    content: string | null;
                    refusal: string | null;
                };
                logprobs: null;
                /** @enum {string} */
                finish_reason: "stop" | "length" | "content_filter";
            }[];
            usage: {
                prompt_tokens: number;
                completion_tokens: number;
                total_tokens: number;
            };
            timmy: components["schemas"]["TimmyAccount"];
        };
        TimmyAccount: {
            requestId: string;
            state: string;
            /** @description What it cost, its evaluation included */
            debitedSats: number;
            balanceSats: number;
            /**
             * @description Whether it was evaluated first, at the session's cost
             * @enum {string}
             */
            evaluation: "on" | "off";
            evaluationUsage?: {
                inputTokens: number;
                outputTokens: number;
                /** @enum {string} */
                source: "api" | "estimated";
            };
            /** @enum {string} */
            usageSource?: "api" | "estimated";
            freeTier?: components["schemas"]["FreeTierDecision"] & unknown;
            /** @description What the pool paid of it */
            absorbedSats?: number;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        ChatCompletionRequest: {
            /**
             * @description One of `GET /api/v1/models`
             * @example claude-sonnet-4-6
             */
            model: string;
            messages: {
                /** @enum {string} */
                role: "system" | "developer" | "user" | "assistant";
                content?: string | {
                    /** @enum {string} */
                    type: "text";
                    text: string;
                }[] | null;
                /** @description Taken; changes nothing */
                name?: string | null;
                /** @description An assistant's, in place of its content or beside it */
                refusal?: string | null;
            }[];
            /** @description Most output tokens; they are held for. More than 8192, or than the balance pays for, is lowered to that, and `X-Timmy-Max-Tokens` says so */
            max_tokens?: number | null;
            /** @description The newer name of `max_tokens` */
            max_completion_tokens?: number | null;
            temperature?: number | null;
            /** @description Passed on to models that take it; refused for others, unless it is 1 */
            top_p?: number | null;
            /** @description Passed on to models that take it; refused for others */
            seed?: number | null;
            stop?: string | string[] | null;
            stream?: boolean | null;
            /** @description Changes nothing without `stream` */
            stream_options?: {
                include_usage?: boolean | null;
            } | null;
            /** @description Taken; changes nothing */
            user?: string | null;
            /** @description Taken; changes nothing */
            metadata?: {
                [key: string]: unknown;
            } | null;
            /** @description Taken; changes nothing */
            store?: boolean | null;
            /** @description Taken; changes nothing */
            safety_identifier?: string | null;
            /** @description Taken; changes nothing */
            prompt_cache_key?: string | null;
            /** @description Supported only as "auto" or "default"; leave it out */
            service_tier?: string | null;
            /** @description Supported only as 1; leave it out */
            n?: number | null;
            /** @description Supported only as 0; leave it out */
            presence_penalty?: number | null;
            /** @description Supported only as 0; leave it out */
            frequency_penalty?: number | null;
            /** @description Supported only as false; leave it out */
            logprobs?: boolean | null;
            /** @description Supported only as 0; leave it out */
            top_logprobs?: number | null;
            /** @description Supported only as {}; leave it out */
            logit_bias?: {
                [key: string]: unknown;
            } | null;
            response_format?: {
                /** @enum {string} */
                type: "text";
            } | null;
            /** @description Supported only as ["text"]; leave it out */
            modalities?: string[] | null;
            /** @description Supported only as []: tools are not called here */
            tools?: unknown[] | null;
            /** @description Supported only as []: tools are not called here */
            functions?: unknown[] | null;
            /** @description Supported only as "none" or "auto"; leave it out */
            tool_choice?: string | null;
            /** @description Supported only as "none" or "auto"; leave it out */
            function_call?: string | null;
            /** @description Supported only as true; leave it out */
            parallel_tool_calls?: boolean | null;
            /** @description Not supported: no model here is told how long to think; leave it out */
            reasoning_effort?: null;
            /** @description Not supported: no model here is told how much to write; say it in a message, or set max_tokens; leave it out */
            verbosity?: null;
            /** @description Not supported: answers are text; leave it out */
            audio?: null;
            /** @description Not supported: answers are written from the start; leave it out */
            prediction?: null;
            /** @description Not supported: nothing is searched; leave it out */
            web_search_options?: null;
        };
        Models: {
            /** @enum {string} */
            object: "list";
            data: components["schemas"]["Model"][];
        };
        Model: {
            id: string;
            /** @enum {string} */
            object: "model";
            created: number;
            owned_by: string;
            pricing: {
                /** @description sats per 1,000 tokens in, margin included */
                inputSatsPer1k: number;
                outputSatsPer1k: number;
                /** @description What every request carries of the infrastructure (sats) */
                requestSats: number;
                btcPriceUsd: number;
            };
        };
        BootstrapCreated: {
            /** @description A capability: whoever holds it gets the keys and the refund. Keep it. */
            bootstrapJobId: string;
            /** @enum {string} */
            state: "awaiting_payment" | "provisioning" | "ready_unconfirmed" | "ready" | "failed" | "expired";
            /** Format: date-time */
            createdAt: string;
            invoice: components["schemas"]["Invoice"];
            machine: components["schemas"]["BootstrapMachine"];
            message: string;
            /**
             * @description Where what is owed goes by itself
             * @example name@example.com
             */
            lightningAddress?: string;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        BootstrapMachine: {
            region: string;
            /** @description The provider's name of the machine's size */
            size: string;
            /** @description 0: the machine's own disk */
            volumeGb: number;
            /** @description How long the fee pays the machine */
            paidDays: number;
            /**
             * Format: date-time
             * @description When those days begin; an estimate until the node is ready
             */
            paidFrom: string;
            /**
             * Format: date-time
             * @description When they end. After it the node is never destroyed by a program: the operator decides, or you move it
             */
            paidUntil: string;
        };
        CreateBootstrap: {
            /** @description One line, as in `~/.ssh/id_ed25519.pub`: ed25519, RSA of at least 3072 bits, ECDSA, or a security key's */
            sshPublicKey?: string;
            region?: string;
            size?: string;
            /** @description Who asks, after signing in; the same as the header X-Nostr-Token */
            nostr_token?: string;
            /**
             * @description A Lightning address (LUD-16) that what is owed in the end is paid to by itself. It is asked at once whether it can be paid
             * @example name@example.com
             */
            lightningAddress?: string;
            npub?: null;
        };
        ReportAccepted: {
            accepted: boolean;
        };
        FirstBootReport: {
            at: string | number;
            sshHostKeys: string[];
            nodeKey: string;
            tailscaleHostname: string | null;
            lnbitsUrl: string | null;
            services: {
                [key: string]: string;
            };
        };
        Bootstrap: {
            bootstrapJobId: string;
            /** @enum {string} */
            state: "awaiting_payment" | "provisioning" | "ready_unconfirmed" | "ready" | "failed" | "expired";
            /** Format: date-time */
            createdAt: string;
            invoice: components["schemas"]["Invoice"];
            machine: components["schemas"]["BootstrapMachine"];
            steps: {
                /** @enum {string} */
                name: "ssh_key" | "tailscale_key" | "volume" | "droplet" | "ip" | "first_boot" | "ready";
                /** Format: date-time */
                startedAt: string;
                /** Format: date-time */
                finishedAt?: string;
                note?: string;
            }[];
            message: string;
            credentials?: {
                nodeIp: string;
                tailscaleHostname: string | null;
                lnbitsUrl: string | null;
                sshPublicKey: string;
                /** @description Shown once, to whoever asks first */
                sshPrivateKey: string | null;
                sshKeyNote?: string;
                /** @description Lines for ~/.ssh/known_hosts: the node told them itself, so the first login needs no trust */
                knownHosts: string[];
            };
            nextSteps?: string[];
            errorMessage?: string;
            /** @enum {string} */
            refundState: "not_applicable" | "pending" | "paying" | "paid" | "expired";
            refundAmountSats: number;
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string | null;
            /** Format: date-time */
            refundClaimUntil: string | null;
            refundFailure: string | null;
            /** @description The latest tries to pay it to a Lightning address, oldest first */
            refundAttempts: components["schemas"]["RefundAttempt"][];
            /**
             * @description Where what is owed goes by itself
             * @example name@example.com
             */
            lightningAddress?: string;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        BootstrapKey: {
            sshPrivateKey: string;
        };
        FetchBootstrapKey: {
            /** @description Preimage of the fee's invoice: your wallet shows it as proof of payment */
            preimage: string;
        };
        KeyErased: {
            erased: boolean;
        };
        AcknowledgeBootstrapKey: {
            /** @description Preimage of the fee's invoice: your wallet shows it as proof of payment */
            preimage?: string;
        };
        CancelBootstrap: Record<string, never>;
        IdentityChallenge: {
            /**
             * @description 64 hex digits to sign; good once
             * @example 69577a00c41d…
             */
            nonce: string;
            /** Format: date-time */
            expiresAt: string;
        };
        SignedIn: {
            /**
             * @description Nostr public key, 64 hex digits (not an npub)
             * @example 3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d
             */
            pubkey: string;
            /** @description Send it as `X-Nostr-Token`. Whoever has it is this key until it expires: keep it secret */
            nostr_token: string;
            /**
             * Format: date-time
             * @description From then on it is refused: sign in again
             */
            expiresAt: string;
            trust: components["schemas"]["Trust"];
        };
        Trust: {
            /**
             * @description Follows from the score
             * @enum {string}
             */
            tier: "new" | "established" | "trusted" | "elite";
            /** @description Now, with what absence took off it */
            score: number;
            /** @description Requests of this key that succeeded, or failed by its own doing */
            interactionCount: number;
        };
        SignIn: {
            /** @description May be left out. If given, it must be the event's */
            pubkey?: string;
            /** @description A signed Nostr event with exactly the seven fields of NIP-01 */
            event: {
                id: string;
                pubkey: string;
                /** @description Seconds since the epoch; at most five minutes from now */
                created_at: number;
                /** @enum {integer} */
                kind: 27235 | 22242;
                tags: string[][];
                content: string;
                sig: string;
            };
        };
        Identity: {
            /**
             * @description Nostr public key, 64 hex digits (not an npub)
             * @example 3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d
             */
            pubkey: string;
            trust: components["schemas"]["Trust"];
            budget: {
                /** @description What the pool may pay for a key of this tier in a UTC day */
                dailySats: number;
                /** @description What it paid today, what is reserved for running requests included */
                usedSats: number;
                /** @description Help that is offered on work invoices which wait to be paid; until they are, or expire, it is not offered again */
                offeredSats?: number;
                /**
                 * Format: date-time
                 * @description When the day ends
                 */
                resetsAt: string;
            };
        };
        IdentityJobs: {
            jobs: {
                /** @description A capability: `GET /api/jobs/{id}` shows the job */
                jobId: string;
                /** @enum {string} */
                state: "awaiting_eval_payment" | "evaluating" | "awaiting_work_payment" | "executing" | "complete" | "rejected" | "failed" | "expired";
                /** Format: date-time */
                createdAt: string;
            }[];
            /** @description There are older ones: send it as `after` */
            next?: string;
        };
        IdentitySessions: {
            sessions: {
                /** @description A capability: `GET /api/sessions/{id}` shows the session */
                sessionId: string;
                /** @enum {string} */
                state: "awaiting_payment" | "active" | "paused" | "expired" | "closed";
                /** Format: date-time */
                createdAt: string;
                /** @description What can be spent now */
                balanceSats: number;
            }[];
            /** @description There are older ones: send it as `after` */
            next?: string;
        };
        IdentityBootstraps: {
            bootstraps: {
                /** @description A capability: `GET /api/bootstrap/{id}` shows the node */
                bootstrapJobId: string;
                /** @enum {string} */
                state: "awaiting_payment" | "provisioning" | "ready_unconfirmed" | "ready" | "failed" | "expired";
                /** Format: date-time */
                createdAt: string;
            }[];
            /** @description There are older ones: send it as `after` */
            next?: string;
        };
        Estimate: {
            /** @description What the work invoice would ask now */
            estimatedSats: number;
            p50Sats: number;
            p90Sats: number;
            /** @description 0–100. Low: this version estimates from a prior, not yet from what jobs really used */
            confidence: number;
            sampleCount: number;
            /** @description The whole quote, infrastructure and margin included (USD) */
            estimatedCostUsd: number;
            /** @description The evaluation fee, paid first and beside it */
            evalFeeSats: number;
            tokenEstimate: {
                inputTokens: number;
                outputTokens: number;
            };
            model: string;
            btcPriceUsd: number;
            btcPriceSource: string;
            btcPriceAgeSeconds: number;
            /** @description For the key that asks: what would be decided now. Advice: nothing is set aside for it */
            identity?: {
                /**
                 * @description How far the key that asked, or owns this, is trusted now; anonymous without one
                 * @enum {string}
                 */
                trust_tier: "anonymous" | "new" | "established" | "trusted" | "elite";
                free_tier: components["schemas"]["FreeTierDecision"];
            };
            /** @description As GET /api/free-tier says it */
            pool: {
                balanceSats: number;
                dailyBudgets: {
                    new: number;
                    established: number;
                    trusted: number;
                    elite: number;
                };
            };
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
        };
        FreeTier: {
            pool: {
                /** @description What can be granted now, to all keys together */
                balanceSats: number;
            };
            /** @description Sats a key of each tier may take in one UTC day */
            dailyBudgets: {
                new: number;
                established: number;
                trusted: number;
                elite: number;
            };
            /** @description Granted to all keys this UTC day: what running requests have reserved, and what ended ones absorbed */
            grantedTodaySats: number;
        };
        Donation: {
            invoice: components["schemas"]["Invoice"];
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
            /** @description What is simulated: lightning, model */
            simulated: string[];
        };
        Donate: {
            /**
             * @description Whole sats
             * @example 1000
             */
            amount_sats: number;
        };
        Demo: {
            /** @enum {string} */
            state: "complete" | "rejected";
            result?: string;
            /**
             * @description `length`: the answer was cut at the demo's limit. A paid job has none so short
             * @enum {string}
             */
            finishReason?: "stop" | "length";
            /** @description Why the request was refused */
            reason?: string;
            /** @description What this cost, evaluation included; the operator has paid it */
            costSats: number;
            /**
             * @description `estimated`: the provider reported no usage, so characters were counted
             * @enum {string}
             */
            usageSource: "api" | "estimated";
            /** @description Answers that your address still gets in this hour */
            remainingThisHour: number;
            /** @description Answers that are left for everybody this UTC day */
            remainingToday: number;
            /** @description True when no language model wrote this */
            stubMode: boolean;
            /** @description What is simulated: model */
            simulated: string[];
        };
        Attestation: {
            /**
             * @description The hardware behind this instance. `none`: none that could prove anything, and no quote. `simulated`: a test
             * @enum {string}
             */
            kind: "none" | "sev-snp" | "tdx" | "nitro" | "simulated";
            /** @description Report, quote or document of the hardware, base64 */
            quote?: string;
            /** @description SEV-SNP: the table of certificates of the host, where it has one, base64 */
            certificates?: string;
            /** @description What the hardware signed: the layout is in `policy`; 64 bytes in hex */
            reportData: string;
            build: components["schemas"]["Build"];
            /** @description x-only public key of the instance (BIP-340), hex */
            instanceKey: string;
            /** @description SHA-256 of the SubjectPublicKeyInfo of the TLS key in front of it, hex */
            tlsKeyHash?: string;
            /** @description BIP-340, by `instanceKey`, of the tagged hash `timmy/attestation` over nonce and `reportData` */
            signature: string;
            policy: {
                /** @description How `reportData` is made */
                reportData: string;
                /**
                 * @description Evidence with the debug bit is to be refused
                 * @enum {string}
                 */
                debug: "refused";
                /** @description Whom to ask what the measurement must be: not this instance */
                measurement: string;
            };
        };
        Build: {
            version: string;
            /** @description Of the source; `unknown` outside of a release */
            commit: string;
            /** @description SHA-256 of the program's file as it lies on the disk now, in hex; `unknown` from source, or where the program may not read itself */
            sha256: string;
        };
        ClaimedByPreimage: {
            /** @enum {string} */
            refundState: "paid" | "paying";
            /**
             * @description Payment hash, 64 hex digits
             * @example 02d449a31fbb267c…
             */
            refundPaymentHash: string;
            refundAmountSats: number;
            /** @description True when something behind this is simulated: no real money, or no real model, was used */
            stubMode: boolean;
        };
        ClaimByPreimage: {
            preimage: string;
            invoice?: string;
            /**
             * @description A Lightning address (LUD-16)
             * @example name@example.com
             */
            lightningAddress?: string;
        };
    };
    responses: {
        /** @description The request is not valid */
        Error400: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The credential is not good */
        Error401: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Payment is required first */
        Error402: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The credential does not allow this */
        Error403: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description There is no such thing, or it is not yours */
        Error404: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The request did not arrive completely, or not in time */
        Error408: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The current state does not allow this */
        Error409: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description It is gone for good */
        Error410: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The body is too large */
        Error413: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The body is not JSON */
        Error415: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Too many requests; wait as long as Retry-After says */
        Error429: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description An error of ours; the request id is all it tells */
        Error500: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description The model's provider refused the instance's own call */
        Error502: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Too busy, or something this needs is down; try again after Retry-After seconds */
        Error503: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getHealth: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
            400: components["responses"]["Error400"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every check is good */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            400: components["responses"]["Error400"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            /** @description At least one check failed; try again after Retry-After seconds */
            503: {
                headers: {
                    /** @description Seconds */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NotReady"];
                };
            };
        };
    };
    getMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The figures */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/openmetrics-text": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Error400"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
        };
    };
    createJob: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateJob"];
            };
        };
        responses: {
            /** @description The job waits for its evaluation fee */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobCreated"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    followJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The events */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    refundJob: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClaimRefund"];
            };
        };
        responses: {
            /** @description Paid */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Refund"];
                };
            };
            /** @description Being paid; the outcome is not known yet. `GET /api/jobs/{id}` shows it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Refund"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    createSession: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateSession"];
            };
        };
        responses: {
            /** @description The session waits for its deposit */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionCreated"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    sendSessionRequest: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SessionAsk"];
            };
        };
        responses: {
            /** @description It has ended: complete, rejected or failed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionRequest"];
                };
            };
            /** @description It still runs; GET …/requests/{requestId} shows how it ends */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionRequest"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    topUpSession: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TopUp"];
            };
        };
        responses: {
            /** @description Pay it to add to the balance */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TopUpOffered"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    closeSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CloseSession"];
            };
        };
        responses: {
            /** @description Closed; paid, or waiting to be claimed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionClosed"];
                };
            };
            /** @description Closed; being paid, the outcome is not known yet. `GET /api/sessions/{id}` shows it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionClosed"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    listSessionRequests: {
        parameters: {
            query?: {
                /** @description Default 20 */
                limit?: string;
                after?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionHistory"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getSessionRequest: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
                requestId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The request */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionRequest"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getSessionMacaroon: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProvePayment"];
            };
        };
        responses: {
            /** @description The macaroon */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Macaroon"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    createChatCompletion: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChatCompletionRequest"];
            };
        };
        responses: {
            /** @description The completion, or its stream */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChatCompletion"];
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            402: components["responses"]["Error402"];
            403: components["responses"]["Error403"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            502: components["responses"]["Error502"];
            503: components["responses"]["Error503"];
        };
    };
    listModels: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every model */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Models"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getModel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The model */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Model"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    createBootstrap: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateBootstrap"];
            };
        };
        responses: {
            /** @description It waits for its fee */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BootstrapCreated"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    reportFirstBoot: {
        parameters: {
            query?: never;
            header?: {
                /** @description Base64 of an SSH signature */
                "x-timmy-signature"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FirstBootReport"];
            };
        };
        responses: {
            /** @description Taken */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReportAccepted"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getBootstrap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The node */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bootstrap"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    followBootstrap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The events */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    fetchBootstrapKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FetchBootstrapKey"];
            };
        };
        responses: {
            /** @description The key, in OpenSSH's format */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BootstrapKey"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            410: components["responses"]["Error410"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    acknowledgeBootstrapKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AcknowledgeBootstrapKey"];
            };
        };
        responses: {
            /** @description It is erased */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KeyErased"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    cancelBootstrap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CancelBootstrap"];
            };
        };
        responses: {
            /** @description It is being taken back */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bootstrap"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    refundBootstrap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClaimRefund"];
            };
        };
        responses: {
            /** @description Paid */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Refund"];
                };
            };
            /** @description Being paid; the outcome is not known yet */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Refund"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    createIdentityChallenge: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": Record<string, never>;
            };
        };
        responses: {
            /** @description What to sign */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IdentityChallenge"];
                };
            };
            400: components["responses"]["Error400"];
            408: components["responses"]["Error408"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    verifyIdentity: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignIn"];
            };
        };
        responses: {
            /** @description You are this key */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedIn"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getIdentity: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Your key */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Identity"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    listIdentityJobs: {
        parameters: {
            query?: {
                /** @description Default 20 */
                limit?: string;
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IdentityJobs"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    listIdentitySessions: {
        parameters: {
            query?: {
                /** @description Default 20 */
                limit?: string;
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IdentitySessions"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    listIdentityBootstraps: {
        parameters: {
            query?: {
                /** @description Default 20 */
                limit?: string;
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IdentityBootstraps"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getEstimate: {
        parameters: {
            query: {
                request: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The estimate */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Estimate"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getFreeTier: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The free tier now */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FreeTier"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    donate: {
        parameters: {
            query?: never;
            header?: {
                /** @description Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Donate"];
            };
        };
        responses: {
            /** @description Pay it to give */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Donation"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getDemo: {
        parameters: {
            query: {
                request: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer, or why there is none */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Demo"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getAttestation: {
        parameters: {
            query: {
                /** @description 32 random bytes of your own, hex: older evidence has another */
                nonce: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The evidence */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Attestation"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    getBuild: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The build */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Build"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    claimRefundByPreimage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClaimByPreimage"];
            };
        };
        responses: {
            /** @description Paid */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClaimedByPreimage"];
                };
            };
            /** @description Being paid; the outcome is not known yet. The same call says more later */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClaimedByPreimage"];
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            409: components["responses"]["Error409"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    receiveLightningWebhook: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": ({
                    payment_hash: string;
                } & {
                    [key: string]: unknown;
                }) | string;
            };
        };
        responses: {
            /** @description Heard */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            408: components["responses"]["Error408"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    payStubInvoice: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                paymentHash: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Paid (now or before) */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Always true */
                        ok: boolean;
                        paymentHash: string;
                        preimage?: string;
                        stubMode: boolean;
                    };
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            409: components["responses"]["Error409"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
    makeStubInvoice: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    amountSats: number;
                };
            };
        };
        responses: {
            /** @description The invoice */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        paymentRequest: string;
                        paymentHash: string;
                        amountSats: number;
                        /** @description Always true */
                        stubMode: boolean;
                    };
                };
            };
            400: components["responses"]["Error400"];
            401: components["responses"]["Error401"];
            404: components["responses"]["Error404"];
            408: components["responses"]["Error408"];
            413: components["responses"]["Error413"];
            415: components["responses"]["Error415"];
            429: components["responses"]["Error429"];
            500: components["responses"]["Error500"];
            503: components["responses"]["Error503"];
        };
    };
}
