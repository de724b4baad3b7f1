use super::narrator::Container;
use super::place::Place;
use crate::config::Config;
pub(super) struct World {
    pub(super) config: Config,
    pub(super) address: String,
    pub(super) speed: f64,
}
#[derive(Clone)]
pub(super) struct Sw;
impl Sw {
    pub(super) fn update_state(&self, _: &str) -> String {
        String::new()
    }
}
impl World {
    pub(super) async fn start(_place: &Place, speed: f64) -> anyhow::Result<Self> {
        Ok(Self { config: Config::default(), address: "127.0.0.1:5000".into(), speed })
    }
    pub(super) fn write_specs(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        super::fleet::write_specs(&self.config.specs_dir, &self.address, wanted)?;
        Ok(())
    }
    pub(super) fn read_spec(&self, _: &str) -> anyhow::Result<String> {
        Ok(String::new())
    }
    pub(super) fn containers(&self) -> Vec<Container> {
        Vec::new()
    }
    pub(super) fn push(&self, r: &str, t: &str) -> anyhow::Result<String> {
        Ok(format!("{r}:{t}"))
    }
    pub(super) fn push_latest(&self, r: &str, t: &str) -> anyhow::Result<String> {
        Ok(format!("{r}:{t}"))
    }
    pub(super) fn push_broken(&self, r: &str, t: &str) -> anyhow::Result<String> {
        Ok(format!("{r}:{t}"))
    }
    pub(super) fn reference(&self, r: &str, t: &str) -> String {
        format!("{r}:{t}")
    }
    pub(super) async fn update_by_hand(&self, _: &str, _: &str) -> anyhow::Result<()> {
        Ok(())
    }
    pub(super) fn swarm(&self) -> Sw {
        Sw
    }
    pub(super) fn writes(&self) -> u64 {
        0
    }
    pub(super) async fn registry_down(&self) {}
    pub(super) async fn registry_up(&self) -> anyhow::Result<()> {
        Ok(())
    }
    pub(super) async fn close(&mut self) {}
}
