#include "ropewalk-qt/src/attachment.h"

#include "ropewalk-qt/src/lib.rs.h"

namespace ropewalk {

Attachment::Attachment(rust::Box<Host> given)
    : host(std::move(given)), watch(host->descriptor(), QSocketNotifier::Read) {
    timer.setSingleShot(true);
    timer.setTimerType(Qt::PreciseTimer);
    QObject::connect(&watch, &QSocketNotifier::activated, [this] { turn(); });
    QObject::connect(&timer, &QTimer::timeout, [this] { turn(); });
    // What is there already, and the first deadline.
    timer.start(0);
}

Attachment::~Attachment() = default;

void Attachment::turn() {
    // A loop inside a callback would be told of the descriptor without end.
    watch.setEnabled(false);
    const auto next = host->turn();
    switch (next.what) {
        case What::Busy:
            return;
        case What::Over:
            timer.stop();
            return;
        case What::Wait:
            timer.start(static_cast<int>(next.wait_ms));
            break;
        case What::Watch:
            timer.stop();
            break;
    }
    watch.setEnabled(true);
}

std::unique_ptr<Attachment> attach_host(rust::Box<Host> host) {
    return std::make_unique<Attachment>(std::move(host));
}

}  // namespace ropewalk
