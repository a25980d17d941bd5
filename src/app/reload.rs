//! Takes a changed configuration while the recorder runs (SIGHUP).
//!
//! In: the configuration, checked. Out: departments and prompts for calls that begin from now on; calls in progress keep
//! theirs. Employees who object count from the next word about who takes part. Not here: what can be taken (`config::Changes`), the log level, and files that are read again by themselves when
//! they change: access tokens, the certificate of SIP, the store's credentials.

use crate::app::server::Server;
use crate::config::Config;

impl Server {
    /// Takes the departments, prompts and objections of `config`.
    pub async fn reload(&self, config: &Config) {
        crate::metrics::departments(&config.departments);
        self.recorder.settings.departments.replace(config.departments.clone());
        self.recorder.settings.objections.replace(config.objections.clone());
        if let Some(server) = &self.sip_server {
            server.change_departments(config.departments.clone()).await;
        }
        if let Some(asking) = &self.asking {
            asking.change(config).await;
        }
        self.rules.set_keep_days(config.longest_kept_days());
    }
}
