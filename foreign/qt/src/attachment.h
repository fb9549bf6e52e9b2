// A reactor's descriptor and its deadline, watched by Qt.
#pragma once

#include <memory>

#include <QtCore/QSocketNotifier>
#include <QtCore/QTimer>

#include "rust/cxx.h"

namespace ropewalk {

struct Host;

// Lives in the thread in which it was made, and is of no use once Qt's application is gone.
class Attachment {
public:
    explicit Attachment(rust::Box<Host> host);
    ~Attachment();

private:
    void turn();

    rust::Box<Host> host;
    QSocketNotifier watch;
    QTimer timer;
};

std::unique_ptr<Attachment> attach_host(rust::Box<Host> host);

}  // namespace ropewalk
