//! What is done to processes, cables and the server.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::MS;
use crate::base::{Base, OnPostgres};
use crate::cable::{Cable, Cut, cut_for};
use crate::clients::Clients;
use crate::dice::Dice;
use crate::process::{Place, Process, Setup};
use crate::server::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Killed,
    AskedToStop,
    Stopped,
    CutShort,
    CutLong,
    SilentShort,
    SilentLong,
    ListenersEnded,
    ServerKilled,
}

pub(crate) const ALL: [Deed; 9] = [
    Deed::Killed,
    Deed::AskedToStop,
    Deed::Stopped,
    Deed::CutShort,
    Deed::CutLong,
    Deed::SilentShort,
    Deed::SilentLong,
    Deed::ListenersEnded,
    Deed::ServerKilled,
];

/// A place for a process.
struct Slot {
    cable: Cable,
    process: Process,
    /// Nothing else is done to it until then.
    busy: Instant,
}

/// All of it.
pub(crate) struct Theatre {
    pub(crate) base: OnPostgres,
    server: Server,
    setup: Setup,
    slots: Vec<Slot>,
    /// That of those who ask.
    pub(crate) asks: Cable,
    /// What will be mended.
    pending: JoinSet<()>,
    /// Those that were asked to stop.
    ending: JoinSet<Option<i32>>,
    labels: usize,
    pub(crate) counts: BTreeMap<Deed, usize>,
}

impl Theatre {
    pub(crate) async fn new(server: Server, base: OnPostgres, setup: Setup, count: usize) -> Self {
        let asks = Cable::to(base.port).await;
        let (pending, ending) = (JoinSet::new(), JoinSet::new());
        let (slots, counts) = (Vec::new(), BTreeMap::new());
        let mut all = Self { base, server, setup, slots, asks, pending, ending, labels: 0, counts };
        for _ in 0..count {
            let cable = Cable::to(all.base.port).await;
            let process = all.process(&cable);
            all.slots.push(Slot { cable, process, busy: Instant::now() });
        }
        all
    }

    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    fn process(&mut self, cable: &Cable) -> Process {
        self.labels += 1;
        let place = Place::Postgres(self.base.url_at(cable.port()));
        let label = format!("w{}", self.labels);
        Process::start(&Setup { place, label, ..self.setup.clone() })
    }

    fn lease(&self) -> Duration {
        MS(self.setup.lease)
    }

    /// Another process cancels something.
    pub(crate) fn cancels(&mut self, clients: &Clients, dice: &mut Dice) {
        if let Some(id) = clients.some_id(dice) {
            let place = dice.below(self.slots.len() as u64) as usize;
            self.slots[place].process.cancels(id);
        }
    }

    /// `false`: it cannot be done just now.
    pub(crate) async fn does(&mut self, deed: Deed, dice: &mut Dice) -> bool {
        let idle = |slot: &Slot| slot.busy <= Instant::now();
        let mut places: Vec<_> = (0..self.slots.len()).filter(|n| idle(&self.slots[*n])).collect();
        dice.shuffle(&mut places);
        let place = places.first().copied();
        let (short, long) = (MS(200 + dice.below(900)), self.lease() + MS(500 + dice.below(1500)));
        let done = match (deed, place) {
            (Deed::Killed, Some(place)) => {
                let process = self.process(&self.slots[place].cable.clone());
                std::mem::replace(&mut self.slots[place].process, process).kill();
                true
            }
            (Deed::AskedToStop, Some(place)) => {
                let process = self.process(&self.slots[place].cable.clone());
                let asked = std::mem::replace(&mut self.slots[place].process, process);
                self.ending.spawn_blocking(move || asked.term());
                true
            }
            (Deed::Stopped, Some(place)) => {
                let slot = &mut self.slots[place];
                slot.busy = Instant::now() + long;
                slot.process.signal(Signal::STOP);
                let id = Pid::from_raw(slot.process.id() as i32).unwrap();
                self.pending.spawn(async move {
                    sleep(long).await;
                    kill_process(id, Signal::CONT).expect("nobody has killed it");
                });
                true
            }
            (Deed::CutShort, Some(place)) => self.cut(place, Cut::Hard, short),
            (Deed::CutLong, Some(place)) => self.cut(place, Cut::Hard, long),
            (Deed::SilentShort, Some(place)) => self.cut(place, Cut::Silent, short),
            (Deed::SilentLong, Some(place)) => self.cut(place, Cut::Silent, long),
            (Deed::ListenersEnded, _) => {
                let ends = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) \
                    FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%') ended";
                self.base.number(ends).await > 0
            }
            (Deed::ServerKilled, _) => {
                tokio::task::block_in_place(|| {
                    self.server.kill();
                    std::thread::sleep(MS(dice.below(400)));
                    self.server.start_again();
                });
                true
            }
            (_, None) => false,
        };
        if done {
            *self.counts.entry(deed).or_default() += 1;
        }
        done
    }

    fn cut(&mut self, place: usize, cut: Cut, time: Duration) -> bool {
        let slot = &mut self.slots[place];
        slot.busy = Instant::now() + time;
        self.pending.spawn(cut_for(slot.cable.clone(), cut, time));
        true
    }

    /// Who asks is cut off, too.
    pub(crate) fn cut_who_asks(&mut self, dice: &mut Dice) {
        let cut = if dice.below(2) == 0 { Cut::Hard } else { Cut::Silent };
        self.pending.spawn(cut_for(self.asks.clone(), cut, MS(100 + dice.below(1500))));
    }

    /// All is mended.
    pub(crate) async fn heals(&mut self) {
        while let Some(mended) = self.pending.join_next().await {
            mended.unwrap();
        }
    }

    /// All are asked to stop; how many did not end well.
    pub(crate) async fn ends(&mut self) -> usize {
        for slot in self.slots.drain(..) {
            self.ending.spawn_blocking(move || slot.process.term());
        }
        let mut unwell = 0;
        while let Some(code) = self.ending.join_next().await {
            match code.unwrap() {
                Some(0) => {}
                // It did not end in time, being cut off.
                Some(3) => unwell += 1,
                other => panic!("VIOLATED: asked to stop, it ended with {other:?}"),
            }
        }
        unwell
    }
}
