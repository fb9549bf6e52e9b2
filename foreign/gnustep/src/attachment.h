// A reactor's descriptor and its deadline, watched by a run loop.
#pragma once

#include <memory>

#include "rust/cxx.h"

namespace ropewalk {

struct Host;

// Lives in the thread in which it was made.
class Attachment {
public:
    explicit Attachment(rust::Box<Host> host);
    ~Attachment();

    // Runs the thread's run loop until the reactor has ended.
    void run() const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts;
};

std::unique_ptr<Attachment> attach_host(rust::Box<Host> host);

}  // namespace ropewalk
