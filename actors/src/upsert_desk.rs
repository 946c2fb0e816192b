//! Finds and starts the actors of vector stores, and lets idle ones go.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use indexmap::IndexMap;
use parlor_schemas::{ErrorCode, Fault};

use crate::messages::{CountStores, DescribeStores, StartUpsert};
use crate::session::Gauge;
use crate::upsert::{UpsertActor, UpsertEnv, store_full};
use crate::view::{Busy, BusyStore, busiest};

/// The supervisor of the stores' actors. All of them live on its arbiter.
pub(crate) struct UpsertDeskActor {
    env: UpsertEnv,
    idle_after: Duration,
    stores: IndexMap<Arc<str>, Entry>,
}

struct Entry {
    addr: Addr<UpsertActor>,
    gauge: Rc<Gauge>,
}

impl UpsertDeskActor {
    pub(crate) fn new(env: UpsertEnv, idle_after: Duration) -> Self {
        Self { env, idle_after, stores: IndexMap::new() }
    }

    /// The live actor of a store; one that died is replaced, and its failures
    /// are remembered. Permits bound how many there are.
    fn store(&mut self, identity: &Arc<str>) -> &Entry {
        let env = &self.env;
        let entry = self.stores.entry(identity.clone()).or_insert_with(|| {
            let gauge = Gauge::new();
            Entry { addr: UpsertActor::begin(env.clone(), gauge.clone()), gauge }
        });
        if !entry.addr.connected() {
            entry.gauge.pending.set(0);
            entry.gauge.budget.borrow_mut().spend(Instant::now());
            entry.addr = UpsertActor::begin(env.clone(), entry.gauge.clone());
        }
        entry
    }

    fn forward(&mut self, upsert: StartUpsert) -> Result<(), (StartUpsert, Fault)> {
        let entry = self.store(&upsert.store);
        if let Some(seconds) = entry.gauge.budget.borrow().exhausted_for(Instant::now()) {
            let message =
                "the upserts of this vector store failed several times in a row and are paused";
            return Err((upsert, Fault::new(ErrorCode::Overloaded, message).retry_after(seconds)));
        }
        entry.gauge.begin();
        entry.addr.try_send(upsert).map_err(|error| {
            entry.gauge.pending.set(entry.gauge.pending.get() - 1);
            (error.into_inner(), store_full())
        })
    }

    fn sweep(&mut self) {
        let idle_after = self.idle_after;
        self.stores.retain(|_, entry| {
            entry.gauge.pending.get() > 0 || entry.gauge.last_used.get().elapsed() < idle_after
        });
    }
}

impl Actor for UpsertDeskActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Permits are the limit; the mailbox only must not be a smaller one.
        ctx.set_mailbox_capacity(1024);
        ctx.run_interval(self.idle_after / 4, |desk, _| desk.sweep());
    }
}

impl Handler<StartUpsert> for UpsertDeskActor {
    type Result = ();

    fn handle(&mut self, upsert: StartUpsert, _: &mut Context<Self>) {
        if let Err((upsert, fault)) = self.forward(upsert) {
            let _ = upsert.reply.send(Err(fault));
        }
    }
}

impl Handler<DescribeStores> for UpsertDeskActor {
    type Result = Vec<BusyStore>;

    fn handle(&mut self, ask: DescribeStores, _: &mut Context<Self>) -> Vec<BusyStore> {
        let all = self.stores.iter().map(|(store, entry)| Busy {
            what: store.clone(),
            n_pending: entry.gauge.pending.get(),
        });
        busiest(all.filter(|busy| busy.n_pending > 0).collect(), ask.most)
    }
}

impl Handler<CountStores> for UpsertDeskActor {
    type Result = usize;

    fn handle(&mut self, _: CountStores, _: &mut Context<Self>) -> usize {
        self.stores.len()
    }
}
